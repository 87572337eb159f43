//! `conformance/vectors/rate_limits.json`, admission by admission, through the public surface (P6.6).

use std::time::Duration;

use preconf_core::{LimitKind, Limiter, RateLimit, Time};
use serde_json::Value;

const VECTORS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance/vectors/rate_limits.json"));

#[test]
fn p6_6_both_kinds_of_limit_admit_exactly_what_the_vectors_say() {
    let vectors: Value = serde_json::from_str(VECTORS).expect("JSON");
    let scenarios = vectors.as_array().expect("a list");
    assert!(scenarios.len() > 10, "only {} scenarios", scenarios.len());
    for scenario in scenarios {
        let number = |key: &str| scenario[key].as_u64().expect("a number");
        let limit = u32::try_from(number("limit")).expect("a small number");
        let window = Duration::from_millis(number("window_ms"));
        for (kind, key) in [(LimitKind::TokenBucket, "token_bucket"), (LimitKind::FixedWindow, "fixed_window")] {
            let rule = RateLimit { limit, window, kind };
            assert_eq!(rule.check("limit"), Ok(()));
            let mut limiter = Limiter::new(rule);
            let times = scenario["times_ms"].as_array().expect("a list");
            let admitted: Vec<_> = times.iter().map(|ms| limiter.admit(Time::from_millis(ms.as_u64().expect("a time")))).collect();
            assert_eq!(Value::from(admitted), scenario[key], "{}: {key}", scenario["name"]);
        }
    }
}
