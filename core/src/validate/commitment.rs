//! Is a commitment good in itself, and is it wanted now (C1–C7)?
//!
//! Cheap checks first: a stranger's garbage never costs a signature recovery. Everything that needs the chain stands in `chain`.
