//! What statements a group of writes becomes: its parts, in rounds that are written one after another.
//!
//! A statement sees the tables as they were when it began, and judges each commit by that. So two commits of one process
//! are in two rounds, and so are a commit that sends mail and the one that consumes it.

use std::collections::HashSet;

use kernel_types::{Mail, MailId, Pid};

use crate::Commit;
use crate::pack::Packed;
use crate::work::Work;

/// The most mail of one statement: its place in the list is 16 bits of its arrival.
pub(super) const MAIL: usize = 1 << 15;

/// A commit, or mail from outside: the least that is written or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Part<'a> {
    /// Which item of the group it is of.
    pub(super) work: usize,
    /// Which commit of that; for mail, nobody asks.
    pub(super) position: usize,
    pub(super) commit: Option<&'a Commit>,
    /// Its bodies and its row, packed.
    pub(super) packed: &'a [Packed],
    pub(super) state: &'a [u8],
    /// Mail that is sent, by the commit or without one.
    pub(super) sent: &'a [Mail],
}

/// One piece of mail to one recipient.
type Key = (Pid, MailId);

impl Part<'_> {
    fn sent_keys(&self) -> impl Iterator<Item = Key> {
        self.sent.iter().map(|mail| (mail.to, mail.id))
    }

    fn consumed_keys(&self) -> impl Iterator<Item = Key> {
        self.commit.into_iter().flat_map(|commit| commit.consumed.iter().map(|id| (commit.row.pid, *id)))
    }
}

/// Why a commit cannot be written at all, beside what every store asks.
pub(super) fn unfit(commit: &Commit) -> Option<String> {
    let count = commit.sent.len();
    (count > MAIL).then(|| format!("{count} pieces of mail exceed the limit of {MAIL} a commit"))
}

/// The parts of a group, in order, without the commits that are malformed.
pub(super) fn parts(group: &[Work]) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    for (work, item) in group.iter().enumerate() {
        for (position, checked) in item.batch.iter().enumerate() {
            if checked.malformed.is_none() {
                let commit = Some(&checked.commit);
                let (packed, state) = (&*checked.packed, &*checked.state);
                parts.push(Part { work, position, commit, packed, state, sent: &checked.commit.sent });
            }
        }
        for sent in item.post.chunks(MAIL) {
            let (position, commit) = (usize::MAX, None);
            parts.push(Part { work, position, commit, packed: &[], state: &[], sent });
        }
    }
    parts
}

/// Cuts the parts into rounds.
pub(super) fn rounds<'p, 'a>(parts: &'p [Part<'a>]) -> Vec<&'p [Part<'a>]> {
    let mut rounds = Vec::new();
    let mut start = 0;
    let mut round = Round::default();
    for (n, part) in parts.iter().enumerate() {
        if !round.takes(part) {
            rounds.push(&parts[start..n]);
            start = n;
            round = Round::default();
        }
        round.add(part);
    }
    if start < parts.len() {
        rounds.push(&parts[start..]);
    }
    rounds
}

#[derive(Default)]
struct Round {
    pids: HashSet<Pid>,
    sent: HashSet<Key>,
    consumed: HashSet<Key>,
    mail: usize,
}

impl Round {
    fn takes(&self, part: &Part<'_>) -> bool {
        self.mail + part.sent.len() <= MAIL
            && part.commit.is_none_or(|commit| !self.pids.contains(&commit.row.pid))
            && (self.consumed.is_empty() || !part.sent_keys().any(|key| self.consumed.contains(&key)))
            && (self.sent.is_empty() || !part.consumed_keys().any(|key| self.sent.contains(&key)))
    }

    fn add(&mut self, part: &Part<'_>) {
        self.mail += part.sent.len();
        self.pids.extend(part.commit.map(|commit| commit.row.pid));
        self.sent.extend(part.sent_keys());
        self.consumed.extend(part.consumed_keys());
    }
}

#[cfg(test)]
mod tests {
    use kernel_types::{AgentRow, Epoch, Hash, Mail, MailBody, MailId, Pid, Timestamp};

    use super::{Part, rounds};
    use crate::Commit;

    fn commit(pid: u128, consumed: &[u64], sent: &[(u128, u64)]) -> Commit {
        let pid = Pid::from_parts(1, pid);
        let sender = Pid::from_parts(1, 99);
        let id = |number: u64| MailId { sender, number };
        let row = AgentRow {
            pid,
            parent: Pid::INIT,
            epoch: Epoch(1),
            revision: 1,
            records: 0,
            head: Hash::ZERO,
            exited: false,
            image: vec![],
            seal: Hash::ZERO,
        };
        let mail = |&(to, number): &(u128, u64)| Mail {
            id: id(number),
            to: Pid::from_parts(1, to),
            body: MailBody::Message(String::new()),
            sent_at: Timestamp(0),
        };
        Commit {
            row,
            records: vec![],
            values: vec![],
            consumed: consumed.iter().map(|number| id(*number)).collect(),
            sent: sent.iter().map(mail).collect(),
            blobs: vec![],
        }
    }

    #[track_caller]
    fn check(commits: &[Commit], expected: &[usize]) {
        let parts: Vec<_> = commits
            .iter()
            .enumerate()
            .map(|(position, commit)| {
                let (sent, commit) = (&*commit.sent, Some(commit));
                Part { work: 0, position, commit, packed: &[], state: &[], sent }
            })
            .collect();
        let lengths: Vec<_> = rounds(&parts).iter().map(|round| round.len()).collect();
        assert_eq!(lengths, expected);
    }

    #[test]
    fn what_depends_on_another_is_written_after_it() {
        check(&[], &[]);
        check(&[commit(1, &[], &[]), commit(2, &[], &[]), commit(3, &[], &[])], &[3]);
        check(&[commit(1, &[], &[]), commit(2, &[], &[]), commit(1, &[], &[]), commit(2, &[], &[])], &[2, 2]);
        check(&[commit(1, &[], &[(2, 5)]), commit(2, &[5], &[])], &[1, 1]);
        check(&[commit(2, &[5], &[]), commit(1, &[], &[(2, 5)])], &[1, 1]);
        // Another number, another recipient.
        check(&[commit(1, &[], &[(2, 5), (3, 6)]), commit(2, &[6], &[])], &[2]);
    }
}
