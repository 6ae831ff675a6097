//! vCPUs that go offline and come back.

use super::CpuInterface;
use super::bank::SGIS;
use super::bits::{bit, bits};
use super::block::Block;
use super::effects::HwKind;
use super::refresh::Pass;
use super::{HwBatch, Version, Vgic, all_blocks};
use crate::VcpuSet;

impl Vgic {
    /// A vCPU goes offline and will not run again as it was. `ci` must be up to date with the hardware; it is empty
    /// afterwards, and has to be written to the hardware like after a refresh. SPIs that were pending in its list registers go elsewhere if the guest routed them to several vCPUs;
    /// what it had acknowledged stays active until the guest clears it. Returns vCPUs to kick; `batch` is called for
    /// physical interrupts whose route changed.
    pub fn vcpu_off(&self, vcpu: usize, ci: &mut CpuInterface, batch: &mut dyn FnMut(HwBatch)) -> VcpuSet {
        let Some(bank) = self.banks.get(vcpu) else { return VcpuSet::EMPTY };
        let mut kicks = {
            let mut inner = bank.lock();
            bank.collect(&mut inner, self.hw_ppis);
            let mut pass = Pass::new(self, bank, &mut inner, ci, vcpu);
            pass.fold_all(Some(&mut |_| false), false);
            // Hints are not needed: the vCPU looks at everything when it comes back.
            for slot in bits(pass.inner.used.into()) {
                let intid = pass.inner.slot(slot as usize);
                pass.evict(slot as usize, intid);
            }
            pass.kicks
        };
        self.online.lock().remove(vcpu);
        kicks = kicks.union(self.retarget_all(batch));
        kicks.remove(vcpu);
        kicks
    }

    /// A vCPU starts from reset: its private interrupts are as after power-on, except for the levels of its lines.
    /// Returns vCPUs to kick, itself not among them; `batch` is called for physical interrupts whose route changed.
    ///
    /// The vCPU must be offline, with an empty [`CpuInterface`].
    pub fn vcpu_on(&self, vcpu: usize, batch: &mut dyn FnMut(HwBatch)) -> VcpuSet {
        let Some(bank) = self.banks.get(vcpu) else { return VcpuSet::EMPTY };
        {
            let mut inner = bank.lock();
            bank.clear_inbox();
            let group1 = match self.version {
                Version::V2 => 0,
                Version::V3 => u32::MAX,
            };
            let line = inner.block.line;
            inner.block = Block::new(SGIS, group1, self.sampled_ppis);
            inner.block.line = line;
            inner.hw_drop = 0;
            bank.keep_spi_hint(all_blocks(self.spis.len()));
            bank.keep_parked(all_blocks(self.spis.len()));
            bank.set_work();
        }
        self.online.lock().insert(vcpu);
        let mut kicks = self.retarget_all(batch);
        kicks.remove(vcpu);
        kicks
    }

    /// Works out the targets of SPIs that the guest routed to several vCPUs, after a vCPU came or went.
    fn retarget_all(&self, batch: &mut dyn FnMut(HwBatch)) -> VcpuSet {
        let mut kicks = VcpuSet::EMPTY;
        for (index, block) in self.spis.iter().enumerate() {
            let mut block = block.lock();
            let online = *self.online.lock();
            let mut moved = 0;
            for n in 0..32 {
                if block.retarget(self.version, n, online, self.all_vcpus()) {
                    moved |= bit(n);
                }
            }
            let mask = moved & block.hw;
            if moved != 0 {
                kicks = kicks.union(self.notify(index, &block, moved));
            }
            drop(block);
            if mask != 0 {
                batch(HwBatch { kind: HwKind::Route, block: index, mask });
            }
        }
        kicks
    }
}
