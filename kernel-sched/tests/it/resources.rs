//! Resources beside a naive model: everyone who waits is looked at in order of arrival after every change.

use std::collections::{BTreeMap, BTreeSet};

use kernel_sched::{Asked, ResourceError, Resources};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::soak::walks;

const PROCESSES: u64 = 20;
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

#[derive(Clone, Debug)]
struct Request {
    who: u64,
    needs: Vec<(String, u64)>,
    granted: bool,
}

impl Request {
    fn of(&self, name: &str) -> u64 {
        self.needs.iter().filter(|(of, _)| of == name).map(|(_, count)| count).sum()
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        self.needs.iter().map(|(name, _)| name.as_str()).filter(|name| self.of(name) > 0)
    }
}

struct Model {
    capacities: BTreeMap<String, u64>,
    /// In order of arrival.
    requests: Vec<Request>,
}

impl Model {
    fn held(&self, name: &str) -> u64 {
        self.requests.iter().filter(|request| request.granted).map(|request| request.of(name)).sum()
    }

    fn is_possible(&self, request: &Request) -> bool {
        request.names().all(|name| request.of(name) <= self.capacities[name])
    }

    fn is_free(&self, request: &Request) -> bool {
        request.names().all(|name| self.held(name) + request.of(name) <= self.capacities[name])
    }

    /// Grants in order of arrival whatever there is enough for and that passes nobody who shares a resource with it.
    fn grant(&mut self) -> Vec<u64> {
        let (mut granted, mut taken) = (Vec::new(), BTreeSet::new());
        for place in 0..self.requests.len() {
            let request = self.requests[place].clone();
            if request.granted || !self.is_possible(&request) {
                continue;
            }
            if self.is_free(&request) && request.names().all(|name| !taken.contains(name)) {
                self.requests[place].granted = true;
                granted.push(request.who);
            } else {
                taken.extend(request.names().map(str::to_owned));
            }
        }
        granted
    }

    fn ask(&mut self, who: u64, needs: &[(String, u64)]) -> Result<Asked, ResourceError> {
        if self.requests.iter().any(|request| request.who == who) {
            return Err(ResourceError::AskedAlready);
        }
        for (place, (name, _)) in needs.iter().enumerate() {
            let Some(capacity) = self.capacities.get(name).copied() else {
                return Err(ResourceError::Unknown(name.clone()));
            };
            let so_far = Request { who, needs: needs[..=place].to_vec(), granted: false };
            if so_far.of(name) > capacity {
                let (name, needed) = (name.clone(), so_far.of(name));
                return Err(ResourceError::TooMuch { name, needed, capacity });
            }
        }
        self.requests.push(Request { who, needs: needs.to_vec(), granted: false });
        Ok(if self.grant() == [who] { Asked::Granted } else { Asked::Waits })
    }

    fn waiting(&self) -> usize {
        self.requests.iter().filter(|request| !request.granted).count()
    }
}

struct Walk {
    resources: Resources<u64>,
    model: Model,
    random: StdRng,
    /// Resources of which more was held than there is after a cut, and how much.
    cut: BTreeMap<String, u64>,
    passed: usize,
    waited: usize,
}

impl Walk {
    fn new(seed: u64) -> Self {
        let mut random = StdRng::seed_from_u64(seed);
        let mut capacity = |name: &&str| ((*name).to_owned(), random.random_range(1..20));
        let capacities: BTreeMap<String, u64> = NAMES.iter().map(&mut capacity).collect();
        let resources = Resources::new(capacities.clone());
        let model = Model { capacities, requests: Vec::new() };
        Self { resources, model, random, cut: BTreeMap::new(), passed: 0, waited: 0 }
    }

    fn step(&mut self) {
        match self.random.random_range(0..100) {
            0..55 => self.ask(),
            55..95 => {
                let who = self.random.random_range(0..PROCESSES);
                self.give_back(who);
            }
            _ => {
                let name = NAMES[self.random.random_range(0..NAMES.len())];
                let capacity = self.random.random_range(0..25);
                self.set_capacity(name, capacity);
            }
        }
    }

    fn ask(&mut self) {
        let who = self.random.random_range(0..PROCESSES);
        let count = self.random.random_range(0..4);
        let mut need = |_| {
            let unknown = self.random.random_range(0..100) == 0;
            let name = if unknown { "?" } else { NAMES[self.random.random_range(0..NAMES.len())] };
            (name.to_owned(), self.random.random_range(0..8))
        };
        let needs: Vec<_> = (0..count).map(&mut need).collect();
        let before = self.random.random_bool(0.1).then(|| self.resources.clone());
        let answer = self.resources.ask(who, &needs);
        assert_eq!(answer, self.model.ask(who, &needs), "{needs:?}");
        match answer {
            Err(_) => assert!(before.is_none_or(|before| self.resources == before), "it changes nothing"),
            Ok(Asked::Granted) if self.model.waiting() > 0 => self.passed += 1,
            Ok(Asked::Granted) => {}
            Ok(Asked::Waits) => self.waited += 1,
        }
    }

    fn give_back(&mut self, who: u64) {
        self.model.requests.retain(|request| request.who != who);
        assert_eq!(self.resources.give_back(who), self.model.grant());
    }

    fn set_capacity(&mut self, name: &str, capacity: u64) {
        self.model.capacities.insert(name.to_owned(), capacity);
        assert_eq!(self.resources.set_capacity(name, capacity), self.model.grant());
        self.cut.insert(name.to_owned(), self.model.held(name));
    }

    fn check(&mut self) {
        for name in NAMES {
            let (held, capacity) =
                (self.resources.held(name).unwrap(), self.resources.capacity(name).unwrap());
            assert_eq!((held, capacity), (self.model.held(name), self.model.capacities[name]));
            // Never more than there is; after a cut what is held only gets less until it fits.
            let most = self.cut.get(name).copied().unwrap_or_default().max(capacity);
            assert!(held <= most, "{held} of {name}, there are {capacity}");
            if held <= capacity {
                self.cut.remove(name);
            } else {
                self.cut.insert(name.to_owned(), held);
            }
        }
        assert_eq!(self.resources.waiting(), self.model.waiting());
        assert!(self.model.grant().is_empty(), "work conserving: nobody is left who could be granted");
    }
}

/// A thousand walks of 1,000 operations; with `AGENTOS_SOAK` 8 walks of a million each.
#[test]
fn resources_are_as_the_list_says_and_nobody_starves() {
    let (mut passed, mut waited) = (0, 0);
    let (seeds, operations) = walks(1_000, 8);
    for seed in 0..seeds {
        println!("seed {seed}");
        let mut walk = Walk::new(seed);
        for operation in 0..operations {
            walk.step();
            if operation % 5 == 0 {
                walk.check();
            }
        }
        (passed, waited) = (passed + walk.passed, waited + walk.waited);
        // All that is there is given back, capacities come back: all who wait are granted.
        NAMES.iter().for_each(|name| walk.set_capacity(name, 30));
        while let Some(who) = walk.model.requests.iter().find(|request| request.granted).map(|r| r.who) {
            walk.give_back(who);
            walk.check();
        }
        assert_eq!((walk.resources.waiting(), walk.model.requests.len()), (0, 0));
        assert!(NAMES.iter().all(|name| walk.resources.held(name) == Some(0)));
    }
    println!("{waited} waited, {passed} passed others that share nothing");
    let walked = (seeds * operations) as usize;
    assert!(passed > walked / 200 && waited > walked / 20);
}

/// One that needs all of it among many that need little and come again and again.
#[test]
fn the_large_is_not_starved_by_the_small() {
    let mut resources = Resources::new([("a".to_owned(), 10)]);
    let small = [("a".to_owned(), 1)];
    (1..=10).for_each(|who| assert_eq!(resources.ask(who, &small), Ok(Asked::Granted)));
    assert_eq!(resources.ask(0, &[("a".to_owned(), 10)]), Ok(Asked::Waits));
    for who in 1..10 {
        assert!(resources.give_back(who).is_empty());
        assert_eq!(resources.ask(who, &small), Ok(Asked::Waits), "it comes after the large one");
    }
    assert_eq!(resources.give_back(10), [0]);
    assert_eq!(resources.give_back(0), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
}
