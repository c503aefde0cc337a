//! One account: its limits, what is spent and held on it, the buckets of its rates.

use kernel_types::{LimitName, MicroUsd, Reservation, Tokens};

use super::{Allowance, Counted};
use crate::{Bucket, Micros, Rate};

/// Sums of the three things counted. Wide, so that they stay exact whatever is added to and taken from them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Sums([u128; 3]);

impl Sums {
    pub(super) fn add(&mut self, amounts: &Reservation) {
        for counted in Counted::ALL {
            self.0[counted as usize] += u128::from(counted.of(amounts));
        }
    }

    pub(super) fn subtract(&mut self, amounts: &Reservation) {
        for counted in Counted::ALL {
            let sum = &mut self.0[counted as usize];
            *sum = sum.saturating_sub(u128::from(counted.of(amounts)));
        }
    }

    fn of(&self, counted: Counted) -> u64 {
        u64::try_from(self.0[counted as usize]).unwrap_or(u64::MAX)
    }

    /// The sums, clamped at the largest values.
    pub(super) fn amounts(&self) -> Reservation {
        let (calls, tokens, cost) = (Counted::Calls, Counted::Tokens, Counted::Cost);
        let (tokens, cost) = (Tokens(self.of(tokens)), MicroUsd(self.of(cost)));
        Reservation { calls: self.of(calls), tokens, cost, ..Reservation::default() }
    }
}

/// An account of the tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Account<K> {
    pub(super) above: Option<K>,
    /// Accounts right below it.
    pub(super) below: usize,
    /// Holds on itself; those on accounts below keep these open, and they keep it.
    pub(super) holds: usize,
    pub(super) limits: Allowance,
    /// One a rate, in the order of `limits.rates`.
    buckets: Vec<Bucket>,
    pub(super) spent: Sums,
    pub(super) held: Sums,
    /// The estimates of what is held: a rate set while calls are in flight counts them.
    estimated: Sums,
}

impl<K> Account<K> {
    /// An account with nothing spent; the first rate that is unsound otherwise.
    pub(super) fn new(above: Option<K>, limits: Allowance) -> Result<Self, (Counted, Rate)> {
        let buckets = limits.rates.iter().map(|rate| full(*rate)).collect::<Result<_, _>>()?;
        let (spent, held, estimated) = Default::default();
        Ok(Self { above, below: 0, holds: 0, limits, buckets, spent, held, estimated })
    }

    /// Takes other limits. What is owed to a rate stays owed to the one in its place: the new one of the same period, or
    /// else the next that counts the same. A rate in nobody's place starts with what is in flight taken from it.
    pub(super) fn change(&mut self, limits: Allowance, now: Micros) -> Result<(), (Counted, Rate)> {
        let mut buckets = limits.rates.iter().map(|rate| full(*rate)).collect::<Result<Vec<_>, _>>()?;
        for ((counted, _), bucket) in limits.rates.iter().zip(&mut buckets) {
            bucket.take(self.estimated.of(*counted), now);
        }
        for ((_, rate), (bucket, heir)) in
            limits.rates.iter().zip(buckets.iter_mut().zip(self.heirs(&limits.rates)))
        {
            if let Some(mut old) = heir {
                old.change(*rate, now);
                *bucket = old;
            }
        }
        (self.limits, self.buckets) = (limits, buckets);
        Ok(())
    }

    /// The bucket that each of these rates takes the place of, if there is one.
    fn heirs(&self, rates: &[(Counted, Rate)]) -> Vec<Option<Bucket>> {
        let mut old: Vec<(Counted, Bucket)> =
            self.buckets().map(|(counted, bucket)| (counted, *bucket)).collect();
        let mut heirs = vec![None; rates.len()];
        for any_period in [false, true] {
            let without = rates.iter().zip(&mut heirs).filter(|(_, heir)| heir.is_none());
            for ((counted, rate), heir) in without {
                let fits = |(of, was): &(Counted, Bucket)| {
                    of == counted && (any_period || was.rate().per == rate.per)
                };
                *heir = old.iter().position(fits).map(|place| old.remove(place).1);
            }
        }
        heirs
    }

    /// The first budget of which less is left than needed: what is left, what is needed.
    pub(super) fn short_of(&self, most: &Reservation) -> Option<(LimitName, u64, u64)> {
        Counted::ALL.into_iter().find_map(|counted| {
            let gone = self.spent.of(counted).saturating_add(self.held.of(counted));
            let left = self.limits.lifetime(counted)?.saturating_sub(gone);
            let needed = counted.of(most);
            (needed > left).then(|| (counted.limit_name(), left, needed))
        })
    }

    /// What each rate lets through now.
    pub(super) fn available(&self, now: Micros) -> Vec<u64> {
        self.buckets.iter().map(|bucket| bucket.available(now)).collect()
    }

    /// The rate that lets the estimate through last, and when. One of which nothing is asked has no say.
    pub(super) fn latest(&self, estimate: &Reservation, now: Micros) -> Option<(Counted, Micros)> {
        let asked = self.buckets().filter(|(counted, _)| counted.of(estimate) > 0);
        let times = asked.map(|(counted, bucket)| (counted, bucket.earliest(counted.of(estimate), now)));
        // The first of the latest, so that equals are named in the order they were given.
        times.reduce(|latest, next| if next.1 > latest.1 { next } else { latest })
    }

    pub(super) fn hold(&mut self, most: &Reservation, estimate: &Reservation, now: Micros) {
        self.held.add(most);
        self.estimated.add(estimate);
        for ((counted, _), bucket) in self.limits.rates.iter().zip(&mut self.buckets) {
            if counted.of(estimate) > 0 {
                bucket.take(counted.of(estimate), now);
            }
        }
    }

    pub(super) fn settle(
        &mut self,
        most: &Reservation,
        estimate: &Reservation,
        used: &Reservation,
        now: Micros,
    ) {
        self.held.subtract(most);
        self.estimated.subtract(estimate);
        self.spent.add(used);
        for ((counted, _), bucket) in self.limits.rates.iter().zip(&mut self.buckets) {
            bucket.settle(counted.of(estimate), counted.of(used), now);
        }
    }

    fn buckets(&self) -> impl Iterator<Item = (Counted, &Bucket)> {
        self.limits.rates.iter().map(|(counted, _)| *counted).zip(&self.buckets)
    }
}

fn full((counted, rate): (Counted, Rate)) -> Result<Bucket, (Counted, Rate)> {
    Bucket::new(rate).ok_or((counted, rate))
}
