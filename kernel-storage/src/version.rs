//! An earlier row of a process, packed to lie beside the last record of its commit, which holds the rest of it.

use kernel_types::{AgentRow, Epoch, Hash, Pid};
use serde::{Deserialize, Serialize};

use crate::pack;

const KIND: u8 = b'V';
/// As it is encoded.
const VERSION: u16 = 1;
/// The same within a frame of zstd.
const FRAMED: u8 = b'Z';

/// What a row has that the last record of its commit has not.
#[derive(Serialize, Deserialize)]
struct Packed {
    parent: Pid,
    epoch: Epoch,
    revision: u64,
    exited: bool,
    seal: Hash,
    image: Vec<u8>,
}

/// Packs the row of a commit that appended records.
pub(crate) fn pack(row: &AgentRow) -> Vec<u8> {
    let packed = Packed {
        parent: row.parent,
        epoch: row.epoch,
        revision: row.revision,
        exited: row.exited,
        seal: row.seal,
        image: row.image.clone(),
    };
    let plain = kernel_types::encode(KIND, VERSION, &packed).expect("plain data encodes");
    match pack::frame(&plain) {
        Some(frame) => [&[FRAMED], &*frame].concat(),
        None => plain,
    }
}

/// The row whose commit ended with the record of this number and hash.
pub(crate) fn unpack(pid: Pid, number: u64, hash: Hash, bytes: &[u8]) -> Result<AgentRow, String> {
    let plain = match bytes {
        [FRAMED, frame @ ..] => pack::unframe(frame, &[])?,
        plain => plain.to_vec(),
    };
    let packed = kernel_types::decode(KIND, VERSION, &plain).map_err(|error| error.to_string())?;
    let Packed { parent, epoch, revision, exited, seal, image } = packed;
    Ok(AgentRow { pid, parent, epoch, revision, records: number, head: hash, exited, image, seal })
}
