//! Does a report show what happened, whatever happened, and stay a page?

use std::sync::Arc;
use std::time::Duration;

use preconf_core::{Accepted, Action, Address, Event, MessageId, Output, PeerId, Refusal, Source, Standing, Time, Topic, Verdict};
use preconf_report::{Mark, Report, RunKind, Side, Summary, Timeline};
use preconf_sim::{History, HistoryPlan, peer_id};
use serde_json::{Value, json};

const ALICE: usize = 0;
const BOB: usize = 1;

#[test]
fn a_small_run_is_drawn_as_it_was() {
    let data = data_of(&small().html());
    // Bins of 50 ms; the run ends in the middle of the sixth.
    assert_eq!((&data["width_us"], &data["bins"], &data["end_us"]), (&json!(50_000), &json!(6), &json!(275_000)));
    assert_eq!(data["height"]["best"], json!([0, 0, 1, 1, 1, 1]));
    let ready = json!({ "most": [0, 0, 1, 1, 1, 1], "median": [0, 0, 0, 1, 1, 1], "least": [0, 0, 0, 1, 1, 1] });
    assert_eq!(data["height"]["ready"], ready);
    assert_eq!(data["peers"], json!({ "most": [0, 0, 1, 1, 1, 1], "median": [0, 0, 0, 0, 0, 0], "least": [0, 0, 0, 0, 0, 0] }));
    // Bob starts at 60 ms. The block is out at 110 ms; at 150 ms he still lacks it, at 180 ms he has it.
    assert_eq!(data["behind"][ALICE], json!({ "name": "alice", "values": [0, 0, 0, 0, 0, 0] }));
    assert_eq!(data["behind"][BOB], json!({ "name": "bob", "values": [null, 0, 40, 70, 0, 0] }));
    assert_eq!(data["curves"][0], json!({ "id": "accepted", "name": "accepted", "points": [[30_000, 1]] }));
    assert_eq!(data["curves"][1], json!({ "id": "ready", "name": "ready", "points": [[70_000, 1]] }));
    assert_eq!(data["curves"][2]["points"], json!([]));
    let liar = json!({ "name": "mallory", "side": "hostile", "lowest": [null, null, null, null, -6_000, -5_400] });
    assert_eq!(data["scores"], json!([liar]));
    assert_eq!(data["verdicts"], json!({ "accept": [0, 0, 1, 0, 0, 0], "ignore": [0, 0, 0, 0, 0, 0], "reject": [0, 0, 0, 0, 1, 0] }));
    let lies = json!({ "number": 1, "at_us": 200_000, "until_us": 260_000, "kind": "fault", "what": "lies" });
    let over = json!({ "number": null, "at_us": 260_000, "until_us": null, "kind": "relief", "what": "truth" });
    assert_eq!(data["marks"], json!([lies, over]));
}

#[test]
fn the_head_of_the_page_says_what_ran_how_it_ended_and_how_to_repeat_it() {
    let page = small().html();
    for text in [
        "<h1>a small run</h1>",
        "everything holds",
        "<dt>seed</dt><dd>7</dd>",
        "<dt>nodes</dt><dd>3</dd>",
        "<dt>digest</dt><dd>c0ffee</dd>",
        "<code>preconf-conformance sim small --seed 7</code>",
        "<td><code>C1</code></td><td>malformed</td><td>commitments</td>",
        "mallory is banned (P7.4)",
        "<time>0.20\u{202f}s\u{2013}0.26\u{202f}s</time> lies <small>node 1</small>",
    ] {
        assert!(page.contains(text), "{text} is missing");
    }
    let violated = Report::new(Summary { violations: vec!["P7.10: <none>".to_owned()], ..Summary::default() }, Timeline::default());
    assert!(violated.html().contains("1 rule does not hold"));
    assert!(violated.html().contains("<li>P7.10: &lt;none&gt;</li>"));
}

#[test]
fn the_json_object_has_the_agreed_keys() {
    let expected = json!({
        "ok": true, "scenario": "a small run", "seed": 7, "nodes": 3, "virtual_s": 0.275, "wall_s": null, "steps": 12,
        "trace_digest": "c0ffee", "violations": [], "propagation_ms": { "p50": 30.0, "p99": 30.0 },
        "bans": { "honest": 0, "hostile": 1 },
    });
    assert_eq!(small().json(), expected);
}

#[test]
fn the_same_run_writes_the_same_page() {
    assert_eq!(small().html(), small().html());
}

#[test]
fn no_name_becomes_markup_or_script() {
    let evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&\u{2028}\0";
    let mut timeline = Timeline::default();
    let node = timeline.add_node(evil);
    timeline.name_peer(peer_id(5), evil, Side::Hostile);
    timeline.mark(Time::ZERO, Mark::fault(evil).at_nodes([node]));
    timeline.output(Time::ZERO, node, &score(peer_id(5), -1));
    timeline.output(Time::ZERO, node, &Output::App(Event::StandingChanged { peer: peer_id(5), standing: Standing::Banned, rule: "P7.4" }));
    let summary = Summary {
        scenario: evil.to_owned(),
        digest: evil.to_owned(),
        violations: vec![evil.to_owned()],
        command: evil.to_owned(),
        ..Summary::default()
    };
    let page = Report::new(summary, timeline).html();
    // The page's own: its data, and its script.
    assert_eq!((page.matches("<script").count(), page.matches("</script").count()), (2, 2));
    assert_eq!((page.matches("<img").count(), page.matches("alert(1)</").count(), page.matches('\0').count()), (0, 0, 0));
    // What is escaped for the page is whole in the data.
    assert_eq!(data_of(&page)["behind"][0]["name"], evil);
}

#[test]
fn the_page_names_no_place_to_go_to_and_lets_nothing_in() {
    let page = small().html();
    for word in ["http:", "https:", " src=", " href=", "url(", "@import", "eval(", "Function(", "import(", "fetch(", "innerHTML"] {
        assert!(!page.contains(word), "{word} is used");
    }
    assert!(page.contains("content=\"default-src 'none'; style-src 'sha256-"));
    assert!(!page.contains("unsafe-inline"));
}

#[test]
fn the_trace_of_one_node_shows_how_long_blocks_waited_and_what_it_thought_of_its_peers() {
    let (mut timeline, peer) = (Timeline::default(), peer_id(9));
    let node = timeline.add_node("this node");
    for block in 1..=3 {
        let at = Time::from_millis(block * 1_000);
        timeline.output(at, node, &accepted(block, Source::Gossip(peer)));
        timeline.output(at, node, &score(peer, 50_000 * block as i64));
        timeline.output(at.after(Duration::from_millis(250)), node, &ready(block));
    }
    let summary = Summary { kind: RunKind::Replay, virtual_time: Duration::from_secs(4), ..Summary::default() };
    let report = Report::new(summary, timeline);
    let (page, data) = (report.html(), data_of(&report.html()));
    assert_eq!(data["curves"][0]["points"], json!([]));
    assert_eq!(data["curves"][2]["points"], json!([[250_000, 3]]));
    assert_eq!((&data["scores"][0]["name"], &data["scores"][0]["side"]), (&json!(peer.to_string()), &json!("unknown")));
    assert!(page.contains("What this node thought of its peers, in points."));
    assert!(page.contains("From accepted to ready."));
}

#[test]
fn a_node_that_restarts_is_behind_by_what_it_forgot_and_that_is_no_propagation() {
    let mut timeline = Timeline::default();
    let (alice, bob) = (timeline.add_node("alice"), timeline.add_node("bob"));
    timeline.started(Time::ZERO, alice);
    timeline.output(Time::ZERO, alice, &accepted(1, Source::Own));
    for (started, heard) in [(0, 1), (10_000, 10_001)] {
        timeline.started(Time::from_millis(started), bob);
        timeline.output(Time::from_millis(heard), bob, &accepted(1, Source::Response(peer_id(0))));
        timeline.output(Time::from_millis(heard), bob, &ready(1));
    }
    assert_eq!((timeline.to_accepted().total(), timeline.to_ready().total()), (1, 1));
    let summary = Summary { virtual_time: Duration::from_secs(11), ..Summary::default() };
    let data = data_of(&Report::new(summary, timeline).html());
    let behind: Vec<u64> = data["behind"][1]["values"].as_array().expect("a list").iter().filter_map(Value::as_u64).collect();
    assert_eq!(behind.iter().max(), Some(&10_001), "the block was ten seconds old when he had it again");
    assert_eq!(behind.last(), Some(&0));
}

#[test]
fn a_thousand_nodes_a_day_and_a_flood_of_everything_still_make_a_page() {
    let mut timeline = Timeline::default();
    let nodes: Vec<usize> = (0..1_000).map(|node| timeline.add_node(format!("node {node}"))).collect();
    let stranger = |k: u64| PeerId::from_bytes(&[&[0, 8][..], &k.to_be_bytes()].concat()).expect("ten bytes");
    for k in 0..50_000u64 {
        let (at, node, peer) = (Time::from_millis(k * 1_728), nodes[k as usize % nodes.len()], stranger(k));
        timeline.output(at, node, &score(peer, -(k as i64) * 200));
        timeline.output(at, node, &Output::App(Event::StandingChanged { peer, standing: Standing::Pruned, rule: "P7.4" }));
        timeline.mark(at, Mark::note(format!("note {k}")));
    }
    let summary = Summary {
        virtual_time: Duration::from_secs(86_400),
        violations: (0..10_000).map(|k| format!("violation {k}")).collect(),
        ..Summary::default()
    };
    let page = Report::new(summary, timeline).html();
    assert!(page.len() < 4 << 20, "{} bytes", page.len());
    let data = data_of(&page);
    let bins = data["bins"].as_u64().expect("a number") as usize;
    assert!(bins >= 120, "{bins} bins");
    let rows = data["behind"].as_array().expect("a list");
    assert!(rows.len() == 1_000 && rows.iter().all(|row| row["values"].as_array().map(Vec::len) == Some(bins)));
    assert!(page.contains("and 9936 more"));
}

#[test]
fn a_run_without_anything_is_a_page_too() {
    let report = Report::new(Summary::default(), Timeline::default());
    assert_eq!(data_of(&report.html())["bins"], 1);
    assert_eq!(report.json()["propagation_ms"], json!({ "p50": null, "p99": null }));
}

/// Alice publishes a block, Bob gets it late; then Mallory lies to Bob and is banned.
fn small() -> Report {
    let (mut timeline, mallory, ms) = (Timeline::default(), peer_id(2), Time::from_millis);
    assert_eq!((timeline.add_node("alice"), timeline.add_node("bob")), (ALICE, BOB));
    timeline.name_peer(mallory, "mallory", Side::Hostile);
    timeline.started(Time::ZERO, ALICE);
    timeline.started(ms(60), BOB);
    timeline.output(ms(110), ALICE, &Output::App(Event::PeerConnected { peer: peer_id(1) }));
    timeline.output(ms(110), ALICE, &accepted(1, Source::Own));
    timeline.output(ms(110), ALICE, &ready(1));
    timeline.output(ms(140), BOB, &accepted(1, Source::Gossip(peer_id(0))));
    timeline.output(ms(140), BOB, &verdict(peer_id(0), Verdict::Accept));
    timeline.output(ms(180), BOB, &ready(1));
    timeline.mark(ms(200), Mark::fault("lies").at_nodes([BOB]));
    timeline.output(ms(210), BOB, &verdict(mallory, Verdict::Reject));
    let refusal = Refusal::Malformed(preconf_core::SignedCommitment::decode(&[]).expect_err("no bytes"));
    timeline.output(ms(210), BOB, &Output::App(Event::MessageRefused { peer: mallory, topic: Some(Topic::Commitments), refusal }));
    timeline.output(ms(210), BOB, &score(mallory, -6_000_000));
    timeline.output(ms(220), BOB, &Output::App(Event::StandingChanged { peer: mallory, standing: Standing::Banned, rule: "P7.4" }));
    timeline.output(ms(220), BOB, &Output::Net(Action::Block { peer: mallory }));
    timeline.output(ms(255), BOB, &score(mallory, -5_400_000));
    timeline.mark(ms(260), Mark::relief("truth", "lies").at_nodes([BOB]));
    let summary = Summary {
        scenario: "a small run".to_owned(),
        seed: Some(7),
        nodes: 3,
        virtual_time: Duration::from_millis(275),
        steps: 12,
        digest: "c0ffee".to_owned(),
        command: "preconf-conformance sim small --seed 7".to_owned(),
        ..Summary::default()
    };
    Report::new(summary, timeline)
}

fn accepted(number: u64, source: Source) -> Output {
    Output::App(Event::CommitmentAccepted { commitment: commitment(number), source })
}

fn ready(number: u64) -> Output {
    Output::App(Event::BlockReady { commitment: commitment(number), txlist: None })
}

fn verdict(peer: PeerId, verdict: Verdict) -> Output {
    Output::Net(Action::ReportGossip { message: MessageId([1; 20]), peer, verdict })
}

fn score(peer: PeerId, score: i64) -> Output {
    Output::Net(Action::SetScore { peer, score })
}

fn commitment(number: u64) -> Arc<Accepted> {
    let history = History::write(HistoryPlan { blocks: number, ..HistoryPlan::default() });
    let block = history.block(number).expect("it was written");
    Arc::new(Accepted { signed: block.signed.clone(), hash: block.hash, signer: Address::ZERO, block_number: number, window_end: 0 })
}

/// The data that the page's script draws.
fn data_of(page: &str) -> Value {
    let (_, rest) = page.split_once("<script type=\"application/json\" id=\"data\">").expect("the page holds its data");
    let (data, _) = rest.split_once("</script>").expect("the data ends");
    serde_json::from_str(data).expect("the data is JSON")
}
