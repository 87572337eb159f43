//! `conformance/vectors/reputation.json`, to the last millionth, through the public surface (P7.1–P7.4).

use std::collections::BTreeSet;
use std::sync::Arc;

use preconf_core::{Cause, Conduct, Ledger, ScoreRules, Time, Weights};
use serde_json::Value;

const VECTORS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../conformance/vectors/reputation.json"));

#[test]
fn p7_1_the_default_weights_are_the_protocols() {
    let vectors = vectors();
    let deltas = vectors["deltas"].as_object().expect("a table");
    let named: BTreeSet<_> = deltas.keys().map(String::as_str).collect();
    assert_eq!(named, Conduct::ALL.map(Conduct::label).into());
    for conduct in Conduct::ALL {
        assert_eq!(deltas[conduct.label()].as_i64(), Some(Weights::default().of(conduct)), "{conduct:?}");
    }
}

#[test]
fn p7_1_to_p7_4_every_step_of_every_scenario_gives_the_same_score_and_standing() {
    let vectors = vectors();
    let mut steps = 0;
    for scenario in vectors["scenarios"].as_array().expect("a list") {
        let name = scenario["name"].as_str().expect("a name");
        let mut ledger = Ledger::new(Arc::new(ScoreRules::default()));
        for step in scenario["steps"].as_array().expect("a list") {
            let now = Time::from_millis(step["t_ms"].as_u64().expect("a time"));
            let did = step["do"].as_str().expect("a conduct");
            if did != "look" {
                let conduct = Conduct::ALL.into_iter().find(|conduct| conduct.label() == did).expect("a known conduct");
                ledger.charge(now, conduct, Cause::Neither);
            }
            assert_eq!(Some(ledger.score(now)), step["score"].as_i64(), "{name}: {step}");
            assert_eq!(Some(ledger.standing(now).label()), step["state"].as_str(), "{name}: {step}");
            steps += 1;
        }
    }
    assert!(steps > 1000, "only {steps} steps");
}

fn vectors() -> Value {
    serde_json::from_str(VECTORS).expect("JSON")
}
