//! Bodies packed for a database, by zstd.
//!
//! What is said is stored more than once: as the body of a page, and within the record of the call that brought it. Both
//! come with one commit, so a body is packed with an earlier one of its commit as the dictionary where that makes it
//! much smaller. Such a body has a *base*, and is read with its bytes. A base is written before what needs it, so no two are
//! each other's base. Addresses are those of what is packed.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use kernel_types::BlobHash;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::get_frame_content_size;

use crate::{Blob, StoreError, StoreErrorKind};

/// As they are.
pub(crate) const PLAIN: i16 = 0;
/// A frame of zstd.
pub(crate) const FRAME: i16 = 1;

/// Higher levels take longer and make texts of a few thousand bytes no smaller.
const LEVEL: i32 = 3;
/// What is smaller is left as it is.
const LEAST: usize = 128;
/// A body may be the base of others if it has at most so many bytes, and at least a part of theirs.
const LARGEST_BASE: usize = 64 << 10;
/// So many bodies before it are tried as the base of one,
const BASES: usize = 4;
/// of the last so many that have none themselves: a commit of 100,000 bodies is not searched for each of them.
const CANDIDATES: usize = 16;
/// What a base costs beside: its address.
const BASE_COST: usize = 64;
/// A frame that says it holds more is damaged: no store takes as much.
const LARGEST: u64 = 1 << 30;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
}

/// A body as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub(crate) hash: BlobHash,
    pub(crate) form: i16,
    pub(crate) base: Option<BlobHash>,
    pub(crate) bytes: Arc<[u8]>,
}

/// Packs the bodies of a commit, in their order.
pub(crate) fn pack(blobs: &[Blob]) -> Vec<Packed> {
    let mut packed: Vec<Packed> = Vec::with_capacity(blobs.len());
    let mut bases: VecDeque<&Blob> = VecDeque::with_capacity(CANDIDATES);
    for blob in blobs {
        let alone = frame(&blob.bytes);
        let size = alone.as_ref().map_or(blob.bytes.len(), Vec::len);
        let fits = |base: &&&Blob| base.bytes.len() >= blob.bytes.len() / 8 && base.hash != blob.hash;
        let best = bases.iter().rev().filter(fits).take(BASES);
        let best = best
            .filter_map(|base| Some((frame_on(&base.bytes, &blob.bytes)?, base.hash)))
            .min_by_key(|(frame, _)| frame.len());
        packed.push(match (best, alone) {
            (Some((frame, base)), _) if frame.len() + BASE_COST < size => {
                Packed { hash: blob.hash, form: FRAME, base: Some(base), bytes: frame.into() }
            }
            (_, Some(frame)) => Packed { hash: blob.hash, form: FRAME, base: None, bytes: frame.into() },
            _ => Packed { hash: blob.hash, form: PLAIN, base: None, bytes: Arc::clone(&blob.bytes) },
        });
        let based = packed.last().is_some_and(|packed| packed.base.is_some());
        if !based && (LEAST..=LARGEST_BASE).contains(&blob.bytes.len()) {
            if bases.len() == CANDIDATES {
                bases.pop_front();
            }
            bases.push_back(blob);
        }
    }
    packed
}

/// A frame of these bytes, if that is smaller.
pub(crate) fn frame(bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < LEAST {
        return None;
    }
    let frame = COMPRESSOR.with_borrow_mut(|kept| {
        if kept.is_none() {
            *kept = Compressor::new(LEVEL).ok();
        }
        kept.as_mut()?.compress(bytes).ok()
    })?;
    (frame.len() < bytes.len()).then_some(frame)
}

fn frame_on(base: &[u8], bytes: &[u8]) -> Option<Vec<u8>> {
    if bytes.len() < LEAST {
        return None;
    }
    Compressor::with_dictionary(LEVEL, base).ok()?.compress(bytes).ok()
}

/// What [`frame`] was given, or what is wrong with the frame.
pub(crate) fn unframe(frame: &[u8], base: &[u8]) -> Result<Vec<u8>, String> {
    let length = get_frame_content_size(frame).ok().flatten().filter(|length| *length <= LARGEST);
    let length = length.and_then(|length| usize::try_from(length).ok()).ok_or("no frame of zstd")?;
    let mut decompressor = Decompressor::with_dictionary(base).map_err(|error| error.to_string())?;
    let bytes = decompressor.decompress(frame, length).map_err(|error| error.to_string())?;
    if bytes.len() == length { Ok(bytes) } else { Err("a frame that is cut".to_owned()) }
}

/// Bodies on their way out of a database.
#[derive(Default, Debug)]
pub(crate) struct Unpacking {
    stored: HashMap<BlobHash, Packed>,
    whole: HashMap<BlobHash, Arc<[u8]>>,
}

impl Unpacking {
    pub(crate) fn add(&mut self, packed: Packed) {
        self.stored.insert(packed.hash, packed);
    }

    /// Bases that are not here yet.
    pub(crate) fn missing(&self) -> Vec<BlobHash> {
        let bases = self.stored.values().filter_map(|packed| packed.base);
        let mut missing: Vec<_> = bases.filter(|base| !self.stored.contains_key(base)).collect();
        missing.sort_unstable();
        missing.dedup();
        missing
    }

    /// The bytes of a body, if it is here. That one is damaged is an error that names it.
    pub(crate) fn body(&mut self, hash: &BlobHash) -> Result<Option<Arc<[u8]>>, StoreError> {
        self.unpack(hash).map_err(|what| {
            let message = format!("table blob, row {hash}: {what}");
            StoreError::new(StoreErrorKind::Corrupt, "read", message)
        })
    }

    /// The bytes of a body, if it is here, or what is wrong with it.
    fn unpack(&mut self, hash: &BlobHash) -> Result<Option<Arc<[u8]>>, String> {
        let mut chain = Vec::new();
        let mut next = Some(*hash);
        while let Some(hash) = next.filter(|hash| !self.whole.contains_key(hash)) {
            let Some(packed) = self.stored.get(&hash) else {
                return if chain.is_empty() { Ok(None) } else { Err(format!("its base {hash} is missing")) };
            };
            if chain.len() > self.stored.len() {
                return Err("it is its own base".to_owned());
            }
            next = packed.base;
            chain.push(hash);
        }
        for hash in chain.into_iter().rev() {
            let packed = &self.stored[&hash];
            let base = packed.base.and_then(|base| self.whole.get(&base));
            let whole = match packed.form {
                PLAIN if packed.base.is_some() => return Err("it has a base and is not packed".to_owned()),
                PLAIN => Arc::clone(&packed.bytes),
                FRAME => unframe(&packed.bytes, base.map_or(&[], |base| base))?.into(),
                other => return Err(format!("form {other} is not known")),
            };
            self.whole.insert(hash, whole);
        }
        Ok(self.whole.get(hash).cloned())
    }
}

#[cfg(test)]
mod tests {
    use super::{FRAME, PLAIN, Packed, Unpacking, frame, pack, unframe};
    use crate::Blob;

    fn text(words: usize) -> String {
        (0..words).map(|n| format!("word {} ", n * 7919 % 1000)).collect()
    }

    fn unpacked(packed: &[Packed], blobs: &[Blob]) {
        let mut unpacking = Unpacking::default();
        packed.iter().cloned().for_each(|packed| unpacking.add(packed));
        assert_eq!(unpacking.missing(), []);
        for blob in blobs {
            assert_eq!(unpacking.unpack(&blob.hash), Ok(Some(blob.bytes.clone())));
        }
    }

    #[test]
    fn a_text_within_another_is_stored_once() {
        let said = text(200);
        let record = serde_json::to_string(&[("what was said", &said)]).unwrap();
        let blobs = [said, record, "short".to_owned()].map(|text| Blob::of(text.into_bytes()));
        let packed = pack(&blobs);
        let forms: Vec<_> = packed.iter().map(|packed| (packed.form, packed.base)).collect();
        assert_eq!(forms, [(FRAME, None), (FRAME, Some(blobs[0].hash)), (PLAIN, None)]);
        assert!(packed[1].bytes.len() < 60, "{}", packed[1].bytes.len());
        unpacked(&packed, &blobs);
    }

    #[test]
    fn a_body_twice_and_one_that_does_not_get_smaller_come_back() {
        let noise: Vec<u8> =
            (0..1000_u32).flat_map(|n| kernel_types::hash_bytes(&n.to_le_bytes()).0).collect();
        let blobs = [
            Blob::of(noise.clone()),
            Blob::of(noise),
            Blob::of(Vec::new()),
            Blob::of(text(9999).into_bytes()),
        ];
        let packed = pack(&blobs);
        assert_eq!((packed[0].form, packed[2].form, packed[3].form), (PLAIN, PLAIN, FRAME));
        unpacked(&packed, &blobs);
    }

    #[test]
    fn damage_is_named() {
        let bytes = text(100).into_bytes();
        let good = frame(&bytes).unwrap();
        assert_eq!(unframe(&good, &[]), Ok(bytes.clone()));
        for bad in [&good[..0], &good[..7], &good[..good.len() - 1], &bytes[..]] {
            assert!(unframe(bad, &[]).is_err());
        }
        let blobs = [Blob::of(bytes.clone()), Blob::of([&b"said: "[..], &bytes].concat())];
        let packed = pack(&blobs);
        let (one, other) = (packed[0].hash, packed[1].hash);
        let mut alone = Unpacking::default();
        alone.add(packed[1].clone());
        assert_eq!(alone.missing(), [one]);
        assert!(alone.unpack(&other).is_err_and(|what| what.contains("missing")));
        let error = alone.body(&other).unwrap_err().to_string();
        assert!(error.contains(&other.to_string()) && error.contains(&one.to_string()), "{error}");
        let mut circle = Unpacking::default();
        circle.add(Packed { base: Some(other), ..packed[0].clone() });
        circle.add(packed[1].clone());
        assert!(circle.unpack(&other).is_err_and(|what| what.contains("its own base")));
        let mut unknown = Unpacking::default();
        unknown.add(Packed { form: 9, ..packed[0].clone() });
        assert!(unknown.unpack(&one).is_err_and(|what| what.contains("form 9")));
        assert_eq!(unknown.unpack(&other), Ok(None));
    }
}
