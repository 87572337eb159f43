//! A file as redb sees it: as it is, or without ever being written to.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use super::disk::DiskFile;

/// The file itself.
#[derive(Debug)]
pub(crate) struct Direct(pub(crate) Arc<dyn DiskFile>);

impl StorageBackend for Direct {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read_at(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_at(offset, data)
    }
}

/// Bytes that are kept together. Ours: redb's page.
const BLOCK: u64 = 4096;

/// The file with what is written to it kept beside it, in memory: so a file is read, and mended for the reading, and stays as it is.
#[derive(Debug)]
pub(crate) struct Overlay {
    file: Arc<dyn DiskFile>,
    over: Mutex<Over>,
}

#[derive(Debug)]
struct Over {
    len: u64,
    /// Up to here the file still counts: what it was cut off is not seen again.
    base: u64,
    blocks: BTreeMap<u64, Box<[u8]>>,
}

impl Overlay {
    pub(crate) fn new(file: Arc<dyn DiskFile>) -> io::Result<Self> {
        let len = file.len()?;
        Ok(Self { file, over: Mutex::new(Over { len, base: len, blocks: BTreeMap::new() }) })
    }

    fn over(&self) -> MutexGuard<'_, Over> {
        self.over.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A block of the file, with zeros behind its end.
    fn base_block(&self, base: u64, block: u64) -> io::Result<Box<[u8]>> {
        let mut bytes = vec![0; BLOCK as usize].into_boxed_slice();
        let there = base.saturating_sub(block * BLOCK).min(BLOCK);
        self.file.read_at(block * BLOCK, &mut bytes[..there as usize])?;
        Ok(bytes)
    }
}

/// The parts of a span that lie in different blocks: block, offset in it, and which part of the span.
fn parts(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let position = offset + at as u64;
        let (block, inside) = (position / BLOCK, (position % BLOCK) as usize);
        let part = at..len.min(at + BLOCK as usize - inside);
        at = part.end;
        (!part.is_empty()).then_some((block, inside, part))
    })
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.over().len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let over = self.over();
        if offset.checked_add(out.len() as u64).is_none_or(|end| end > over.len) {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // The common case, without a copy: nothing was written here.
        if offset + out.len() as u64 <= over.base
            && over.blocks.range(offset / BLOCK..=(offset + out.len() as u64) / BLOCK).next().is_none()
        {
            return self.file.read_at(offset, out);
        }
        for (block, inside, part) in parts(offset, out.len()) {
            let len = part.len();
            match over.blocks.get(&block) {
                Some(bytes) => out[part].copy_from_slice(&bytes[inside..inside + len]),
                None => out[part].copy_from_slice(&self.base_block(over.base, block)?[inside..inside + len]),
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut over = self.over();
        if len < over.len {
            over.blocks.retain(|block, _| block * BLOCK < len);
            if let Some(bytes) = over.blocks.get_mut(&(len / BLOCK)) {
                bytes[(len % BLOCK) as usize..].fill(0);
            }
        }
        over.base = over.base.min(len);
        over.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut over = self.over();
        for (block, inside, part) in parts(offset, data.len()) {
            if !over.blocks.contains_key(&block) {
                let bytes = self.base_block(over.base, block)?;
                over.blocks.insert(block, bytes);
            }
            if let Some(bytes) = over.blocks.get_mut(&block) {
                bytes[inside..inside + part.len()].copy_from_slice(&data[part]);
            }
        }
        Ok(())
    }
}
