//! Is a txlist good in itself (T1)?
