//! Records in files: all that needs the feature `redb`.

mod backend;
mod chain;
mod chain_writer;
mod database;
pub mod disk;
mod error;
mod identity;
mod interchange;
mod legacy;
mod offline;
mod open;
mod os;
mod own;
mod own_writer;
mod redb_store;
mod report;
mod rows;
mod seal;

pub use chain_writer::Pace;
pub use error::OpenError;
pub use identity::SCHEMA;
pub use interchange::{Contradiction, Entry, ImportError, Interchange};
pub use offline::{AcceptedDamage, Imported, Inspection, accept_damage, accept_damage_on, export, import, inspect, inspect_on};
pub use open::Options;
pub use redb_store::{Opened, RedbStore};
pub use report::{Commitments, Flaw, Flaws, Legacy, Report, Rest};
