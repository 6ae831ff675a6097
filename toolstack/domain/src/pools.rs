//! CPU pools and their names in xenstore, which are libxl's.

use xen_ctrl::{Bitmap, Cpupool};
use xen_dev::Domid;
use xenstore_client::Operations;

use crate::{DomainError, Toolstack, nodes, random};

/// A pool's nodes.
fn home(pool: u32) -> String {
    format!("/local/pool/{pool}")
}

impl Toolstack {
    /// The name of a CPU pool, if it has one.
    ///
    /// # Errors
    /// When xenstore refuses.
    pub fn pool_name(&mut self, pool: u32) -> Result<Option<String>, DomainError> {
        Ok(nodes::text(&mut self.store, &format!("{}/name", home(pool)))?)
    }

    /// The pool with this name or number; one without a name is called Pool- and its number.
    ///
    /// # Errors
    /// [`DomainError::NoSuchPool`] when there is none.
    pub fn find_pool(&mut self, wanted: &str) -> Result<Cpupool, DomainError> {
        for pool in self.ctrl.cpupools()? {
            let name = self.pool_name(pool.id)?.unwrap_or_else(|| format!("Pool-{}", pool.id));
            if name == wanted || pool.id.to_string() == wanted {
                return Ok(pool);
            }
        }
        Err(DomainError::NoSuchPool(wanted.to_owned()))
    }

    /// Makes a pool of CPUs that are in no other, or of one such CPU. Returns its id.
    ///
    /// # Errors
    /// When a CPU or the name is not to be had; there is no new pool then.
    pub fn create_pool(
        &mut self,
        name: &str,
        scheduler: u32,
        cpus: Option<&Bitmap>,
    ) -> Result<u32, DomainError> {
        self.ensure_pool_name(name)?;
        let free = self.ctrl.free_cpus()?;
        let cpus: Vec<u32> = match cpus {
            Some(cpus) => cpus.iter().collect(),
            None => free.iter().take(1).collect(),
        };
        if cpus.is_empty() {
            return Err(DomainError::CpuTaken { cpu: None });
        }
        if let Some(&taken) = cpus.iter().find(|&&cpu| !free.contains(cpu)) {
            return Err(DomainError::CpuTaken { cpu: Some(taken) });
        }
        let pool = self.ctrl.create_cpupool(None, scheduler)?;
        let filled = cpus.into_iter().try_for_each(|cpu| Ok(self.ctrl.add_cpu(pool, Some(cpu))?));
        let done = filled.and_then(|()| {
            let uuid = random::uuid()?.to_string();
            let nodes = [("uuid", uuid.as_str()), ("name", name)];
            Ok(self.store.transaction(|store| {
                nodes
                    .iter()
                    .try_for_each(|(node, value)| store.write(&format!("{}/{node}", home(pool)), *value))
            })?)
        });
        if let Err(error) = done {
            // What went wrong first is what is to be said.
            let _ = self.destroy_pool(pool);
            return Err(error);
        }
        Ok(pool)
    }

    /// Takes a pool's CPUs, and the pool away.
    ///
    /// # Errors
    /// When it has domains, or is the first one.
    pub fn destroy_pool(&mut self, pool: u32) -> Result<(), DomainError> {
        if pool == 0 {
            return Err(DomainError::FirstPool);
        }
        let found = self.find_pool(&pool.to_string())?;
        if found.domains > 0 {
            return Err(DomainError::PoolInUse { pool, domains: found.domains });
        }
        for cpu in found.cpus.iter() {
            self.ctrl.remove_cpu(pool, Some(cpu))?;
        }
        self.ctrl.destroy_cpupool(pool)?;
        match self.store.rm(&home(pool)) {
            Ok(()) => Ok(()),
            // A pool need not have a name.
            Err(_) if self.pool_name(pool)?.is_none() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a pool another name.
    ///
    /// # Errors
    /// When another has it.
    pub fn rename_pool(&mut self, pool: u32, name: &str) -> Result<(), DomainError> {
        self.ensure_pool_name(name)?;
        Ok(self.store.write(&format!("{}/name", home(pool)), name)?)
    }

    /// Moves a domain to a pool.
    ///
    /// # Errors
    /// When the hypervisor refuses, as for a pool without CPUs.
    pub fn move_to_pool(&mut self, domid: Domid, pool: u32) -> Result<(), DomainError> {
        Ok(self.ctrl.move_domain(pool, domid)?)
    }

    /// A pool's name cannot be empty, a number, or another's.
    fn ensure_pool_name(&mut self, name: &str) -> Result<(), DomainError> {
        let is_plain = !name.is_empty() && name.chars().all(|letter| letter.is_ascii_graphic());
        if !is_plain || name.parse::<u32>().is_ok() {
            return Err(DomainError::BadPoolName(name.to_owned()));
        }
        match self.find_pool(name) {
            Ok(pool) => Err(DomainError::PoolNameTaken { name: name.to_owned(), pool: pool.id }),
            Err(DomainError::NoSuchPool(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::FakeHost;

    const CREDIT2: u32 = 6;

    fn set(cpus: &[u32]) -> Bitmap {
        let mut set = Bitmap::default();
        for cpu in cpus {
            assert!(set.insert(*cpu));
        }
        set
    }

    #[test]
    fn pool_comes_with_its_cpus_and_name_and_goes_with_them() {
        let host = FakeHost::new();
        let mut tools = host.toolstack();
        tools.name_dom0().unwrap();
        let before = host.paths();
        tools.ctrl().remove_cpu(0, Some(3)).unwrap();
        let pool = tools.create_pool("batch", CREDIT2, Some(&set(&[3]))).unwrap();
        assert_eq!((pool, tools.pool_name(pool).unwrap().as_deref()), (1, Some("batch")));
        assert_eq!(tools.find_pool("batch").unwrap().cpus, set(&[3]));
        tools.rename_pool(pool, "other").unwrap();
        assert!(matches!(tools.find_pool("batch"), Err(DomainError::NoSuchPool(_))));
        tools.destroy_pool(pool).unwrap();
        assert_eq!(host.paths(), before);
        assert_eq!(tools.ctrl().free_cpus().unwrap(), set(&[3]));
    }

    #[test]
    fn one_free_cpu_makes_a_pool() {
        let host = FakeHost::new();
        let mut tools = host.toolstack();
        let error = tools.create_pool("batch", CREDIT2, None).unwrap_err();
        assert!(error.to_string().starts_with("every CPU is in a pool"), "{error}");
        tools.ctrl().remove_cpu(0, Some(1)).unwrap();
        let pool = tools.create_pool("batch", CREDIT2, None).unwrap();
        assert_eq!(tools.find_pool(&pool.to_string()).unwrap().cpus, set(&[1]));
    }

    #[test]
    fn refusals_leave_no_pool() {
        let host = FakeHost::new();
        let mut tools = host.toolstack();
        tools.name_dom0().unwrap();
        tools.ctrl().remove_cpu(0, Some(3)).unwrap();
        let mut error =
            |name, cpus: &[u32]| tools.create_pool(name, CREDIT2, Some(&set(cpus))).unwrap_err().to_string();
        assert!(error("Pool-0", &[3]).contains("taken by pool 0"));
        assert!(error("7", &[3]).contains("cannot be a CPU pool's name"));
        assert!(error("batch", &[2, 3]).starts_with("CPU 2 is in a pool"));
        assert!(tools.destroy_pool(0).is_err());
        assert_eq!(tools.ctrl().cpupools().unwrap().len(), 1);
    }

    #[test]
    fn pool_with_a_domain_stays() {
        let host = FakeHost::new();
        host.add_domain(7, "web");
        let mut tools = host.toolstack();
        tools.ctrl().remove_cpu(0, Some(3)).unwrap();
        let pool = tools.create_pool("batch", CREDIT2, None).unwrap();
        tools.move_to_pool(Domid::new(7).unwrap(), pool).unwrap();
        let error = tools.destroy_pool(pool).unwrap_err().to_string();
        assert!(error.starts_with("CPU pool 1 has 1 domain"), "{error}");
        assert_eq!(tools.find_pool("batch").unwrap().cpus, set(&[3]));
    }
}
