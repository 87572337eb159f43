//! Which faults of a preconfer does the machine prove, and to whom (P5.4, C8, C9)?
#![allow(clippy::unwrap_used, reason = "a test that fails loudly")]

use std::time::Duration;

use crate::support::*;
use Verdict::{Accept, Ignore};
use preconf_core::*;

/// The evidence among outputs, in order; each is verified as it comes.
fn found(outputs: &[Output]) -> Vec<Proof> {
    let evidence = |output: &Output| match output {
        Output::App(Event::EvidenceFound { evidence, signer, block_number }) => {
            let proof = evidence.verify(DEFAULT_DOMAIN).expect("what is told is proven");
            assert_eq!((proof.signer, proof.second.block_number), (*signer, U256::from(*block_number)));
            Some(proof)
        }
        _ => None,
    };
    outputs.iter().filter_map(evidence).collect()
}

/// A commitment's other form, which anyone can make without its key.
fn high_s(signed: &SignedCommitment) -> SignedCommitment {
    let mut signature = *signed.signature();
    let s = SecretKey::from_secret_bytes(signature[32..64].try_into().unwrap()).unwrap();
    signature[32..64].copy_from_slice(&s.negate().to_secret_bytes());
    signature[64] ^= 1;
    let twin = SignedCommitment::new(signed.commitment().clone(), signature);
    assert!(is_high_s(&twin) && recover_any(&twin, DEFAULT_DOMAIN) == recover(signed, DEFAULT_DOMAIN));
    twin
}

#[test]
fn two_blocks_of_one_signer_at_one_number_are_an_equivocation_told_once() {
    // C8, P5.4
    let (mut node, mut writer) = (Node::connected_to(&[9, 8]), Writer::new(1));
    let first = writer.block().0;
    let others: Vec<_> = (1..4).map(|gas| Writer::new(1).write(|p| (p.eop, p.gas_limit) = (true, U256::from(30_000_000 + gas)))).collect();
    node.commitment(9, &first);
    let outputs = node.commitment(8, &others[0]);
    let [proof] = found(&outputs)[..] else { panic!("one piece of evidence: {outputs:?}") };
    assert_eq!((proof.fault, proof.signer), (Fault::Equivocation, address_of(&key(1))));
    assert_eq!((proof.first.hash, proof.second.hash), (preconfirmation_hash(&first), preconfirmation_hash(&others[0])));
    assert_eq!(proof.to_string(), format!("{} signed two different blocks with number 1", proof.signer));
    assert_eq!((verdicts(&outputs), node.score(8)), (vec![Ignore], 0), "not the fault of the peer that carried it");
    for again in [&others[0], &others[1], &others[2], &others[0]] {
        assert_eq!(found(&node.commitment(9, again)), [], "one place, one piece of evidence");
    }
    assert_eq!((node.core.evidence().len(), node.core.stats().evidence), (1, 1));
}

#[test]
fn a_block_after_its_signers_eop_is_evidence() {
    // C8, P5.4
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let (first, eop, after) = (writer.block().0, writer.eop(), writer.block().0);
    node.commitment(9, &first);
    assert_eq!(found(&node.commitment(9, &eop)), []);
    let [proof] = found(&node.commitment(9, &after))[..] else { panic!("one piece of evidence") };
    assert_eq!((proof.fault, proof.signer), (Fault::AfterEop, address_of(&key(1))));
    assert_eq!((proof.first.hash, proof.second.hash), (preconfirmation_hash(&eop), preconfirmation_hash(&after)));
    assert_eq!(node.head(), Some(2));
}

#[test]
fn a_block_that_does_not_follow_its_signers_own_is_evidence_at_once_and_still_held() {
    // C9, P5.4
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let (first, second) = (writer.block().0, writer.block().0);
    node.commitment(9, &first);
    node.commitment(9, &second);
    writer.parent = B256::repeat_byte(0xbb);
    let third = writer.block().0;
    let outputs = node.commitment(9, &third);
    let [proof] = found(&outputs)[..] else { panic!("one piece of evidence: {outputs:?}") };
    assert_eq!((proof.fault, proof.signer), (Fault::BrokenLink, address_of(&key(1))));
    assert_eq!((proof.first.hash, proof.second.hash), (preconfirmation_hash(&second), preconfirmation_hash(&third)));
    assert_eq!((verdicts(&outputs), node.status().held), (vec![], 1));
    let outputs = node.wait(Duration::from_secs(3));
    assert_eq!((verdicts(&outputs), found(&outputs)), (vec![Ignore], vec![]));
}

#[test]
fn evidence_comes_from_pages_too() {
    // P5.4, P6.10
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let first = writer.block().0;
    let other = Writer::new(1).write(|preconf| preconf.eop = true);
    node.commitment(9, &first);
    let asked = Command::GetCommitments { start: 1, count: 1, peer: Some(peer(9)) };
    let (_, outputs) = node.command(asked).unwrap();
    let request = requests(&outputs)[0].0;
    // What our own user asked for is handed over, not judged; so let the node miss something by itself.
    node.input(Input::ResponseReceived { request, body: CommitmentsPage::encode([&other].into_iter()) });
    assert_eq!(node.core.evidence().len(), 0);
    let child = Writer { number: 1, timestamp: START + 1, parent: preconfirmation_hash(&other), ..Writer::new(1) }.block().0;
    let outputs = node.commitment(9, &child);
    assert_eq!(found(&outputs).iter().map(|proof| proof.fault).collect::<Vec<_>>(), [Fault::BrokenLink]);
    let asked = requests(&node.wait(Duration::from_millis(100)));
    assert_eq!(asked.len(), 1, "the one commitment that the child hangs on (P5.2)");
    let outputs = node.input(Input::ResponseReceived { request: asked[0].0, body: CommitmentsPage::encode([&other].into_iter()) });
    assert_eq!(found(&outputs).iter().map(|proof| proof.fault).collect::<Vec<_>>(), [Fault::Equivocation]);
    assert!(node.score(9) >= 0, "a signer's fault is not its carrier's");
}

#[test]
fn a_turned_over_signature_and_a_repeated_block_are_no_evidence() {
    // P4.4, P5.4: what is compared are hashes, never signature bytes.
    let (mut node, mut writer) = (Node::connected_to(&[9, 8]), Writer::new(1));
    let (first, eop) = (writer.block().0, writer.eop());
    for signed in [&first, &eop] {
        assert_eq!(verdicts(&node.commitment(9, signed)), [Accept]);
        assert_eq!(found(&node.commitment(8, signed)), []);
        assert_eq!(found(&node.commitment(8, &high_s(signed))), []);
    }
    // Even a block that would be evidence is none in that form.
    let other = Writer::new(1).write(|preconf| preconf.eop = true);
    assert_eq!(found(&node.commitment(8, &high_s(&other))), []);
    assert_eq!(node.core.evidence().len(), 0);
}

#[test]
fn two_preconfers_who_did_not_see_each_other_are_both_honest() {
    // C9, P5.4
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    node.commitment(9, &writer.block().0);
    let mut other = Writer { parent: writer.parent, number: writer.number, ..Writer::new(1) };
    other.hand_over(2);
    node.set_clock_to_window(1);
    node.commitment(9, &writer.block().0);
    let outputs: Vec<_> = (0..3).flat_map(|_| node.commitment(9, &other.block().0)).collect();
    assert!(outputs.iter().any(|output| matches!(output, Output::App(Event::Forked { .. }))));
    assert_eq!((found(&outputs), node.core.evidence().len()), (vec![], 0));
}

#[test]
fn a_signer_may_end_one_window_and_go_on_in_its_next() {
    // C8: its own last word binds it within one window only.
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    node.commitment(9, &writer.eop());
    writer.hand_over(2);
    node.commitment(9, &writer.eop());
    writer.hand_over(1);
    let outputs = node.commitment(9, &writer.block().0);
    assert_eq!((verdicts(&outputs), found(&outputs)), (vec![Accept], vec![]));
}

#[test]
fn our_own_slip_is_refused_and_told_to_nobody() {
    // P5.7, P5.9: it was never published, so there is nothing to accuse anyone of.
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    node.commitment(9, &writer.block().0);
    let other = Writer::new(1).write(|preconf| preconf.eop = true);
    let (_, outputs) = node.command(Command::PublishCommitment(Box::new(other))).unwrap();
    assert!(matches!(outcomes(&outputs)[..], [(_, Outcome::NotPublished(PublishError::Refused(Refusal::Equivocation)))]));
    assert_eq!(node.core.evidence().len(), 0);
}

#[test]
fn the_book_is_bounded() {
    // P10.1
    let mut node = Node::with(Config { max_evidence: 3, ..Config::new(CHAIN) });
    node.connect(9);
    let mut writer = Writer::new(1);
    for _ in 0..6 {
        let signed = writer.block().0;
        node.commitment(9, &signed);
        let other = sign(
            PreconfCommitment { preconf: Preconfirmation { eop: true, ..signed.preconf().clone() }, ..signed.commitment().clone() },
            &key(1),
            DEFAULT_DOMAIN,
        );
        assert_eq!(found(&node.commitment(9, &other)).len(), 1);
    }
    let numbers: Vec<_> = node.core.evidence().map(|evidence| evidence.second.preconf().block_number).collect();
    assert_eq!(numbers, [4, 5, 6].map(U256::from));
}

/// Two commitments of preconfer 1, changed as the test likes.
fn pair(fault: Fault, first: impl FnOnce(&mut Preconfirmation), second: impl FnOnce(&mut Preconfirmation)) -> Evidence {
    let mut writer = Writer::new(1);
    let first = writer.write(first);
    Evidence { fault, first, second: writer.write(second) }
}

fn nothing(_: &mut Preconfirmation) {}

fn same_number(preconf: &mut Preconfirmation) {
    preconf.block_number = U256::ONE;
}

fn stranger(preconf: &mut Preconfirmation) {
    preconf.parent_preconfirmation_hash = B256::repeat_byte(9);
}

fn eop(preconf: &mut Preconfirmation) {
    preconf.eop = true;
}

fn next_window(preconf: &mut Preconfirmation) {
    preconf.submission_window_end += U256::ONE;
    stranger(preconf);
}

#[test]
fn evidence_verifies_from_its_bytes_alone() {
    // P5.4
    for evidence in [
        pair(Fault::Equivocation, nothing, same_number),
        pair(Fault::AfterEop, eop, nothing),
        pair(Fault::AfterEop, eop, |preconf| preconf.block_number = U256::MAX),
        pair(Fault::BrokenLink, nothing, stranger),
    ] {
        let proof = evidence.verify(DEFAULT_DOMAIN).expect("proven");
        assert_eq!((proof.fault, proof.signer), (evidence.fault, address_of(&key(1))));
    }
}

#[test]
fn what_an_honest_preconfer_may_sign_proves_nothing() {
    // P5.4
    let two = (U256::ONE, U256::from(2));
    let windows = (U256::from(START + WINDOW_SECS), U256::from(START + WINDOW_SECS + 1));
    let cases = [
        (pair(Fault::Equivocation, nothing, nothing), NoProof::TwoNumbers { first: two.0, second: two.1 }),
        (pair(Fault::AfterEop, nothing, nothing), NoProof::NoEop),
        (pair(Fault::AfterEop, eop, same_number), NoProof::NotAfter { first: two.0, second: two.0 }),
        (pair(Fault::AfterEop, eop, next_window), NoProof::TwoWindows { first: windows.0, second: windows.1 }),
        (pair(Fault::BrokenLink, nothing, nothing), NoProof::Linked),
        (pair(Fault::BrokenLink, nothing, same_number), NoProof::NotNext { first: two.0, second: two.0 }),
        (pair(Fault::BrokenLink, nothing, next_window), NoProof::TwoWindows { first: windows.0, second: windows.1 }),
        (
            pair(Fault::BrokenLink, |preconf| preconf.block_number = U256::MAX, |preconf| preconf.block_number = U256::ZERO),
            NoProof::NotNext { first: U256::MAX, second: U256::ZERO },
        ),
    ];
    for (evidence, expected) in cases {
        assert_eq!(evidence.verify(DEFAULT_DOMAIN), Err(expected), "{evidence:?}");
    }
}

#[test]
fn one_preconfirmation_under_two_signatures_proves_nothing() {
    // P5.4: a malleated signature, another slasher, even a second honest signature over the same block.
    let first = Writer::new(1).block().0;
    let slasher = PreconfCommitment { slasher_address: Address::repeat_byte(1), ..first.commitment().clone() };
    for second in [high_s(&first), first.clone(), sign(slasher, &key(1), DEFAULT_DOMAIN)] {
        let evidence = Evidence { fault: Fault::Equivocation, first: first.clone(), second };
        assert_eq!(evidence.verify(DEFAULT_DOMAIN), Err(NoProof::SameCommitment));
    }
}

#[test]
fn signatures_that_do_not_bind_one_signer_prove_nothing() {
    // P4.3, P4.4, P5.4
    let good = pair(Fault::Equivocation, nothing, same_number);
    let turned = Evidence { second: high_s(&good.second), ..good.clone() };
    assert_eq!(turned.verify(DEFAULT_DOMAIN), Err(NoProof::HighS(Which::Second)));
    let turned = Evidence { first: high_s(&good.first), ..good.clone() };
    assert_eq!(turned.verify(DEFAULT_DOMAIN), Err(NoProof::HighS(Which::First)));
    let unsigned = Evidence { second: SignedCommitment::new(good.second.commitment().clone(), [0; 65]), ..good.clone() };
    assert_eq!(unsigned.verify(DEFAULT_DOMAIN), Err(NoProof::BadSignature(Which::Second)));
    let other = Evidence { second: sign(good.second.commitment().clone(), &key(2), DEFAULT_DOMAIN), ..good.clone() };
    let signers = NoProof::TwoSigners { first: address_of(&key(1)), second: address_of(&key(2)) };
    assert_eq!(other.verify(DEFAULT_DOMAIN), Err(signers));
    // A signature taken from another message recovers to nobody in particular.
    let moved = SignedCommitment::new(good.second.commitment().clone(), *good.first.signature());
    let moved = Evidence { second: moved, ..good.clone() };
    assert!(matches!(moved.verify(DEFAULT_DOMAIN), Err(NoProof::TwoSigners { .. } | NoProof::BadSignature(Which::Second))));
    // Under another chain's domain the same bytes accuse nobody (P4.2).
    assert!(good.verify(B256::ZERO).is_err());
}

#[test]
fn no_flipped_bit_makes_evidence_accuse_anyone_else() {
    // P5.4: whatever is changed, either nothing is proven or the true signer still is.
    let good = pair(Fault::Equivocation, nothing, same_number);
    for byte in 0..SIGNED_COMMITMENT_BYTES {
        let mut bytes = *good.second.as_bytes();
        bytes[byte] ^= 1;
        let Ok(second) = SignedCommitment::decode(&bytes) else { continue };
        if let Ok(proof) = (Evidence { second, ..good.clone() }).verify(DEFAULT_DOMAIN) {
            panic!("byte {byte} flipped, and yet: {proof}");
        }
    }
}

#[test]
fn c8_two_blocks_at_one_number_in_two_windows_are_a_fork_and_no_evidence() {
    // Preconfer 1 has the first window and the third.
    let mut node = Node::connected_to(&[9]);
    let mut writer = Writer::new(1);
    for _ in 0..2 {
        node.commitment(9, &writer.block().0);
    }
    node.wait(Duration::from_secs(2 * WINDOW_SECS + 10));
    let anew = |parent, number| {
        let (timestamp, window_end) = (START + 2 * WINDOW_SECS + 1, START + 3 * WINDOW_SECS);
        Writer { parent, number, timestamp, window_end, ..Writer::new(1) }.block().0
    };
    let first = Writer::new(1).block().0;
    let outputs = node.commitment(9, &anew(preconfirmation_hash(&first), 1));
    assert_eq!((found(&outputs), refusals(&outputs)), (vec![], vec![Refusal::Fork]));
    let adjoin = |output: &Output| match output {
        Output::App(Event::Forked { windows_adjoin, .. }) => Some(*windows_adjoin),
        _ => None,
    };
    assert_eq!(outputs.iter().find_map(adjoin), Some(false), "another's window lies between");
}

#[test]
fn c5_what_comes_too_late_or_below_the_tip_still_proves_what_its_signer_did() {
    // P5.4
    let other = Writer::new(1).write(|preconf| preconf.eop = true);
    for is_settled in [false, true] {
        let (mut node, mut writer) = (Node::connected_to(&[9, 8]), Writer::new(1));
        for _ in 0..3 {
            node.commitment(9, &writer.block().0);
        }
        let expected = if is_settled {
            node.update(Update::MoveSyncTip(SyncTip { block_number: 2, preconfirmation_hash: None })).unwrap();
            Refusal::Stale
        } else {
            node.wait(Duration::from_secs(WINDOW_SECS + 30));
            Refusal::Late
        };
        let forged = SignedCommitment::new(other.commitment().clone(), [0x11; 65]);
        assert_eq!(verdicts(&node.commitment(8, &forged)), [Ignore], "late is late, whoever signed it");
        let outputs = node.commitment(8, &other);
        assert_eq!(found(&outputs).iter().map(|proof| proof.fault).collect::<Vec<_>>(), [Fault::Equivocation]);
        assert_eq!((refusals(&outputs), verdicts(&outputs)), (vec![expected], vec![Ignore]));
        let nothing_to_contradict = Writer { number: 900, ..Writer::new(1) }.block().0;
        assert_eq!(found(&node.commitment(8, &nothing_to_contradict)), []);
        let jobs = node.core.stats().jobs;
        node.commitment(8, &Writer { number: 7, ..Writer::new(1) }.block().0);
        if !is_settled {
            assert_eq!(node.core.stats().jobs, jobs, "where nothing is contradicted, nothing is recovered");
        }
    }
}

#[test]
fn c9_a_parent_that_is_canonical_or_settled_is_no_broken_link() {
    // P5.4: preconfer 1 lost its second block to another's, and goes on from the one that is canonical.
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let first = writer.block().0;
    node.commitment(9, &first);
    let second = writer.block().0;
    node.commitment(9, &second);
    let settled = B256::repeat_byte(0xdd);
    node.update(Update::MoveSyncTip(SyncTip { block_number: 2, preconfirmation_hash: Some(settled) })).unwrap();
    let third = Writer { parent: settled, number: 2, timestamp: writer.timestamp, ..Writer::new(1) }.block().0;
    let outputs = node.commitment(9, &third);
    assert_eq!((found(&outputs), verdicts(&outputs)), (vec![], vec![Accept]));
}

#[test]
fn c9_a_child_that_breaks_a_rule_towards_its_signers_own_block_is_evidence() {
    // P5.4, P7.11: nobody who carries it is charged.
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    let first = writer.block().0;
    node.commitment(9, &first);
    let broken = writer.write(|preconf| {
        preconf.raw_tx_list_hash = keccak256(b"list");
        preconf.gas_limit = U256::from(1);
    });
    let outputs = node.commitment(9, &broken);
    let [proof] = found(&outputs)[..] else { panic!("one piece of evidence: {outputs:?}") };
    assert_eq!((proof.fault, proof.signer), (Fault::BrokenRule, address_of(&key(1))));
    assert_eq!((proof.first.hash, proof.second.hash), (preconfirmation_hash(&first), preconfirmation_hash(&broken)));
    assert_eq!(proof.to_string(), format!("{} signed block 2, which breaks a rule towards its own block 1, its parent", proof.signer));
    assert_eq!((verdicts(&outputs), refusals(&outputs)), (vec![Ignore], vec![Refusal::ParentRule(ParentRule::GasLimit)]));
    assert_eq!((node.head(), node.score(9)), (Some(1), 50_000));
}

#[test]
fn c9_a_child_that_breaks_a_rule_towards_anothers_block_is_told_and_proves_nothing() {
    let (mut node, mut writer) = (Node::connected_to(&[9]), Writer::new(1));
    node.commitment(9, &writer.block().0);
    node.wait(Duration::from_secs(WINDOW_SECS));
    writer.hand_over(2);
    let broken = writer.write(|preconf| {
        preconf.raw_tx_list_hash = keccak256(b"list");
        preconf.anchor_block_number = U256::ZERO;
        preconf.gas_limit = U256::from(1);
    });
    let outputs = node.commitment(9, &broken);
    assert_eq!(found(&outputs), []);
    let told = |output: &Output| matches!(output, Output::App(Event::RuleBroken { parent, rule: ParentRule::GasLimit, .. }) if parent.block_number == 1);
    assert_eq!(outputs.iter().filter(|output| told(output)).count(), 1);
}

#[test]
fn c9_a_rule_of_this_chain_alone_is_told_and_proves_nothing_to_others() {
    let mut config = Config::new(CHAIN);
    config.parent_rules.host = vec![HostRule { name: "even gas", holds: |_, child| child.gas_limit.as_limbs()[0] % 2 == 0 }];
    let mut node = Node::with(config);
    node.connect(9);
    let mut writer = Writer::new(1);
    node.commitment(9, &writer.block().0);
    let odd = writer.write(|preconf| {
        preconf.raw_tx_list_hash = keccak256(b"list");
        preconf.gas_limit += U256::ONE;
    });
    let outputs = node.commitment(9, &odd);
    assert_eq!(found(&outputs), []);
    assert!(outputs.iter().any(|output| matches!(output, Output::App(Event::RuleBroken { rule: ParentRule::Host("even gas"), .. }))));
}
