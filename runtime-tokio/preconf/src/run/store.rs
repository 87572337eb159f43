//! Where does the node keep what must outlive it?
//!
//! In `--data-dir`, by `preconf-store`. Here is how it is opened, and what its operator is told of it.

use std::path::Path;

use preconf_core::{Config, Record};
use preconf_store::{Commitments, OpenError, Opened, Options, RedbStore, Report, Rest};

/// Opens the directory. What is not as it was left is logged: none of it ends the node.
pub(crate) fn open(dir: &Path, config: &Config) -> Result<(RedbStore, Vec<Record>), OpenError> {
    let (store, Opened { records, report }) = RedbStore::open(dir, &Options::new(config.chain_id, config.domain))?;
    tell(dir, &report);
    tracing::info!(dir = %dir.display(), records = records.len(), "what was kept is given back");
    Ok((store, records))
}

fn tell(dir: &Path, report: &Report) {
    if let Commitments::Damaged(flaws) = &report.commitments {
        let dir = dir.display();
        tracing::error!(
            "what this node committed to is damaged: {flaws}. It follows, and publishes nothing until `preconf store accept --data-dir {dir}` \
             says that it may (P5.9a); `preconf store show` and `verify` say what can be read"
        );
    }
    if let Some(failure) = report.unwritable {
        let dir = dir.display();
        tracing::warn!(
            "nothing can be written to {dir}: {failure}. This node goes on with what is there and follows; it publishes nothing until that \
             disk takes records (P5.9a), and what it learns until then is lost at its end"
        );
    }
    if let Rest::Replaced { aside, flaws, kept } = &report.chain {
        let aside = aside.display();
        tracing::warn!(
            "what this node knew of chain and peers is damaged: {flaws}. It is now {aside}, and {kept} records of it were taken over"
        );
    }
    if let Some(legacy) = &report.legacy {
        tracing::warn!("{legacy}");
    }
}
