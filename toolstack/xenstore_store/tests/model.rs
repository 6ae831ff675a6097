//! The store against a slow and obvious model: a flat map from path to node, copied whole for each transaction, and
//! transactions that run again whenever anything changed.
#![allow(clippy::octal_escapes, reason = "NUL ends a string on the wire, and a digit may follow it")]

mod common;
use common::{Answer, Rig};
use proptest::prelude::*;
use std::collections::BTreeMap;
use xen_abi::Errno;
use xenstore_store::Store;
use xenstore_wire::MessageType::{self, *};

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    value: String,
    owner: u16,
    /// Letter for all others, then entries.
    letter: char,
    entries: Vec<(char, u16)>,
}

#[derive(Clone, Debug)]
struct Model(BTreeMap<String, Entry>);

#[derive(Clone, Debug)]
struct Step {
    domid: u16,
    transaction: bool,
    kind: MessageType,
    path: String,
    value: String,
}

fn parent(path: &str) -> String {
    match path.rfind('/') {
        Some(0) | None => "/".into(),
        Some(end) => path[..end].into(),
    }
}

impl Model {
    fn allowed(&self, domid: u16, path: &str, letter: char) -> bool {
        let entry = &self.0[path];
        if domid == 0 || entry.owner == domid {
            return true;
        }
        let own = entry.entries.iter().find(|(_, other)| *other == domid);
        let granted = own.map_or(entry.letter, |(granted, _)| *granted);
        granted == letter || granted == 'b'
    }

    fn find(&self, domid: u16, path: &str, letter: char) -> Result<(), Errno> {
        let mut nearest = path.to_owned();
        while !self.0.contains_key(&nearest) {
            nearest = parent(&nearest);
        }
        if !self.allowed(domid, &nearest, letter) {
            return Err(Errno::EACCES);
        }
        if nearest == path { Ok(()) } else { Err(Errno::ENOENT) }
    }

    fn children(&self, path: &str) -> String {
        let all = self.0.keys().filter(|other| *other != "/" && parent(other) == path);
        all.map(|other| format!("{}\0", &other[other.rfind('/').unwrap() + 1..])).collect()
    }

    fn create(&mut self, domid: u16, path: &str, value: &str) {
        if !self.0.contains_key(&parent(path)) {
            self.create(domid, &parent(path), "");
        }
        let mut entry = self.0[&parent(path)].clone();
        entry.value = value.into();
        if domid != 0 {
            entry.owner = domid;
        }
        self.0.insert(path.into(), entry);
    }

    fn run(&mut self, step: &Step) -> Answer {
        let Step { domid, kind, path, value, .. } = step;
        let domid = *domid;
        let done = Ok(b"OK\0".to_vec());
        match kind {
            Read => self.find(domid, path, 'r').map(|()| self.0[path].value.clone().into_bytes()),
            Directory => self.find(domid, path, 'r').map(|()| self.children(path).into_bytes()),
            GetPerms => self.find(domid, path, 'r').map(|()| {
                let Entry { owner, letter, entries, .. } = &self.0[path];
                let rest: String =
                    entries.iter().map(|(letter, domid)| format!("{letter}{domid}\0")).collect();
                format!("{letter}{owner}\0{rest}").into_bytes()
            }),
            Write | Mkdir => match self.find(domid, path, 'w') {
                Ok(()) if *kind == Mkdir => done,
                Ok(()) => {
                    self.0.get_mut(path).unwrap().value = value.clone();
                    done
                }
                Err(Errno::ENOENT) => {
                    self.create(domid, path, if *kind == Write { value } else { "" });
                    done
                }
                Err(error) => Err(error),
            },
            Rm => match self.find(domid, path, 'w') {
                Ok(()) if path == "/" => Err(Errno::EINVAL),
                Ok(()) => {
                    self.0.retain(|other, _| other != path && !other.starts_with(&format!("{path}/")));
                    done
                }
                Err(Errno::ENOENT) if self.0.contains_key(&parent(path)) => done,
                Err(error) => Err(error),
            },
            SetPerms => {
                self.find(domid, path, 'w')?;
                let owner = self.0[path].owner;
                if domid != 0 && owner != domid {
                    return Err(Errno::EACCES);
                }
                let mut list = value
                    .split_terminator('\0')
                    .map(|entry| (entry.chars().next().unwrap(), entry[1..].parse::<u16>().unwrap()));
                let (letter, new_owner) = list.next().unwrap();
                if domid != 0 && new_owner != owner {
                    return Err(Errno::EPERM);
                }
                let entry = self.0.get_mut(path).unwrap();
                (entry.letter, entry.owner, entry.entries) = (letter, new_owner, list.collect());
                done
            }
            other => unreachable!("{other:?} is not generated"),
        }
    }
}

fn step() -> impl Strategy<Value = Step> {
    let path = prop_oneof![
        1 => Just("/".to_owned()),
        9 => proptest::collection::vec("[ab]", 1..4).prop_map(|names| format!("/{}", names.join("/"))),
    ];
    let kind = prop_oneof![
        Just(Read),
        Just(Directory),
        Just(GetPerms),
        Just(Write),
        Just(Write),
        Just(Mkdir),
        Just(Rm),
        Just(SetPerms)
    ];
    let list = proptest::collection::vec("[nrwb][012]", 1..3)
        .prop_map(|list| list.iter().map(|entry| format!("{entry}\0")).collect::<String>());
    (0u16..3, any::<bool>(), kind, path, "[xy]{0,2}", list).prop_map(
        |(domid, transaction, kind, path, value, list)| {
            let value = if kind == SetPerms { list } else { value };
            Step { domid, transaction, kind, path, value }
        },
    )
}

/// One step in twelve starts or ends the domain's transaction.
#[derive(Clone, Debug)]
enum Act {
    Step(Step),
    Toggle {
        domid: u16,
        commit: bool,
    },
    /// Saves the state and goes on with what is loaded.
    Restart,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        24 => step().prop_map(Act::Step),
        4 => (0u16..3, any::<bool>()).prop_map(|(domid, commit)| Act::Toggle { domid, commit }),
        1 => Just(Act::Restart),
    ]
}

/// A transaction in the model.
struct Open {
    number: u32,
    snapshot: Model,
    log: Vec<(Step, Answer)>,
    doomed: bool,
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn answers_are_those_of_the_model(acts in proptest::collection::vec(act(), 1..60)) {
        let mut rig = Rig::new();
        rig.ok(rig.dom0, Rm, 0, "/tool\0");
        rig.ok(rig.dom0, SetPerms, 0, "/\0b0\0");
        let mut clients = vec![rig.dom0];
        for domid in [1, 2] {
            rig.introduce(domid);
            clients.push(rig.connection(domid));
        }
        let root = Entry { value: String::new(), owner: 0, letter: 'b', entries: vec![] };
        let mut model = Model(BTreeMap::from([("/".to_owned(), root)]));
        let mut open: BTreeMap<u16, Open> = BTreeMap::new();
        for act in acts {
            match act {
                Act::Step(step) => {
                    let mut inside = open.get_mut(&step.domid).filter(|_| step.transaction);
                    let payload = match step.kind {
                        Write | SetPerms => format!("{}\0{}", step.path, step.value),
                        _ => format!("{}\0", step.path),
                    };
                    let number = inside.as_ref().map_or(0, |open| open.number);
                    let answer = rig.ask(clients[step.domid as usize], step.kind, number, payload);
                    let target = inside.as_mut().map_or(&mut model, |open| &mut open.snapshot);
                    prop_assert_eq!(&answer, &target.run(&step), "{:?}", step);
                    if let Some(open) = inside {
                        open.log.push((step, answer));
                    }
                }
                Act::Toggle { domid, commit } => {
                    let id = clients[domid as usize];
                    match open.remove(&domid) {
                        None => {
                            let number = rig.start(id);
                            let snapshot = model.clone();
                            open.insert(domid, Open { number, snapshot, log: vec![], doomed: false });
                        }
                        Some(Open { number, log, doomed, .. }) => {
                            let end = if commit { "T\0" } else { "F\0" };
                            let answer = rig.ask(id, TransactionEnd, number, end);
                            let mut again = model.clone();
                            let agrees = !doomed && log.iter().all(|(step, answer)| again.run(step) == *answer);
                            let expected = if agrees || !commit { Ok(b"OK\0".to_vec()) } else { Err(Errno::EAGAIN) };
                            prop_assert_eq!(answer, expected);
                            if commit && agrees {
                                model = again;
                            }
                        }
                    }
                }
                Act::Restart => {
                    let saved = rig.store.save();
                    rig.store = Store::load(&saved).unwrap();
                    prop_assert_eq!(rig.store.save(), saved);
                    for open in open.values_mut() {
                        open.doomed = true;
                        open.snapshot = model.clone();
                    }
                }
            }
            prop_assert_eq!(rig.ok(rig.dom0, Control, 0, "check\0"), b"OK\0".to_vec());
        }
    }

    #[test]
    fn watches_fire_for_exactly_what_the_model_changed(
        steps in proptest::collection::vec(step(), 1..30),
        watched in proptest::collection::vec("[ab]", 0..3),
    ) {
        let mut rig = Rig::new();
        rig.ok(rig.dom0, Rm, 0, "/tool\0");
        let watcher = rig.store.connect(xenstore_store::Peer::Socket { read_only: false });
        let watched = format!("/{}", watched.join("/"));
        rig.watch(watcher, &watched, "t");
        let root = Entry { value: String::new(), owner: 0, letter: 'n', entries: vec![] };
        let mut model = Model(BTreeMap::from([("/".to_owned(), root)]));
        for mut step in steps {
            step.domid = 0;
            let payload = match step.kind {
                Write | SetPerms => format!("{}\0{}", step.path, step.value),
                _ => format!("{}\0", step.path),
            };
            let before = model.0.clone();
            let answer = model.run(&step);
            prop_assert_eq!(rig.ask(rig.dom0, step.kind, 0, payload), answer.clone());
            let is_below = |path: &str, top: &str| {
                top == "/" || path == top || path.starts_with(&format!("{top}/"))
            };
            let happened = match step.kind {
                Write | SetPerms => answer.is_ok(),
                Mkdir | Rm => before != model.0,
                _ => false,
            };
            let mut expected = vec![];
            if happened && is_below(&step.path, &watched) {
                expected.push(step.path.clone());
            } else if happened && step.kind == Rm && is_below(&watched, &step.path) && before.contains_key(&watched) {
                expected.push(watched.clone());
            }
            prop_assert_eq!(rig.fired(watcher), expected, "{:?}", step);
        }
    }
}
