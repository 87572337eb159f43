//! Do connected honest nodes hold the same chain?
//!
//! After every step that moves a machine's head, its canonical chain is compared with those of the honest nodes that it is connected with; so
//! are the two chains of a connection that comes up. Where both are above their sync tips they must be the same, block for block, with one
//! exception: two preconfers who did not see each other's last block are both honest (C9), in worlds that say so
//! ([`World::allow_forks`]), as is one that says in a later window what L1 has freed it to say (P5.9); and a hostile preconfer contradicts itself
//! wherever it likes. Such a fork must be noticed in time: one of the
//! two nodes reports it, or proves the fault (P5.4), or L1 settles it. The time runs while one of them is ahead: a head is told by its
//! number alone (P6.1), so two that are level have nothing to ask each other.
//!
//! What a machine holds follows from its head, since every block names its parent; so a step costs a look at its head, and a moved head one
//! look-up a neighbour. A head moves by blocks on top of it, and otherwise only when the host moves the sync tip (C9).
//!
//! How far a node may be behind the others is a matter of time and of the scenario (`behind_s`), not of every step.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use preconf_core::{Accepted, Address, B256, ConnectionId, Event, SyncTip, Time, preconfirmation_hash};

use super::carry::{Ends, ends};
use super::check::{Failure, Violation};
use super::node::NodeId;
use super::world::World;

/// How long two connected nodes may hold different blocks before one of them must have noticed. Ours: two rounds of asking for heads, as
/// P6.9 has it, and the requests that follow.
const NOTICED_WITHIN: Duration = Duration::from_secs(40);

/// What is known of a block that some machine took for valid.
#[derive(Clone, Copy, Debug)]
struct Known {
    number: u64,
    parent: B256,
    signer: Address,
    window_end: u64,
}

/// One machine's canonical chain above its sync tip.
#[derive(Debug, Default)]
struct Path {
    head: Option<(u64, B256)>,
    tip: SyncTip,
    blocks: BTreeMap<u64, B256>,
    /// Blocks that it named as one of two valid ones at their number.
    forked: BTreeSet<B256>,
    /// Blocks that it proved to contradict another one.
    contradicting: BTreeSet<B256>,
}

/// Where two chains part: the lowest number at which they differ, and their blocks there.
type Root = (u64, B256, B256);

/// All chains, and where they part.
#[derive(Debug, Default)]
pub(crate) struct Agreement {
    may_fork: bool,
    known: HashMap<B256, Known>,
    paths: Vec<Path>,
    /// Forks that nobody has noticed yet, and the connection over which the two must notice.
    open: BTreeMap<(Ends, Root), ConnectionId>,
    due: BTreeSet<(Time, Ends, Root)>,
}

impl Agreement {
    /// A machine starts with nothing in memory.
    pub(crate) fn started(&mut self, node: NodeId) {
        if node >= self.paths.len() {
            self.paths.resize_with(node + 1, Path::default);
        }
        self.paths[node] = Path::default();
    }

    pub(crate) fn event(&mut self, node: NodeId, event: &Event) {
        match event {
            Event::CommitmentAccepted { commitment, .. } => self.meet(commitment),
            Event::Forked { canonical, other, .. } => {
                self.meet(other);
                self.paths[node].forked.extend([canonical.hash, other.hash]);
            }
            Event::EvidenceFound { evidence, .. } => {
                let blocks = [&evidence.first, &evidence.second].map(preconfirmation_hash);
                self.paths[node].contradicting.extend(blocks);
            }
            _ => {}
        }
    }

    fn meet(&mut self, block: &Accepted) {
        let parent = block.signed.preconf().parent_preconfirmation_hash;
        let known = Known { number: block.block_number, parent, signer: block.signer, window_end: block.window_end };
        self.known.entry(block.hash).or_insert(known);
    }

    /// Nothing passes between two nodes from now on: what they must notice, they need not until it does again.
    pub(crate) fn cut(&mut self, ends: Ends) {
        self.open.retain(|(others, _), _| *others != ends);
    }

    /// Follows a machine to where it stands now. Did its head move?
    fn follow(&mut self, node: NodeId, head: Option<(u64, B256)>, tip: SyncTip) -> Result<bool, Violation> {
        let path = &mut self.paths[node];
        if path.head == head && path.tip == tip {
            return Ok(false);
        }
        let before = path.head.filter(|_| path.tip == tip);
        if path.tip != tip {
            (path.tip, path.blocks) = (tip, BTreeMap::new());
        }
        path.head = head;
        let mut below = head;
        while let Some((number, hash)) = below.filter(|(number, _)| *number > tip.block_number) {
            if path.blocks.insert(number, hash) == Some(hash) {
                break;
            }
            below = self.known.get(&hash).map(|known| (number - 1, known.parent));
        }
        match before {
            // What was the head lies in the chain still.
            Some((number, hash)) if path.blocks.get(&number) != Some(&hash) || head.is_none_or(|(top, _)| top < number) => {
                Err(Violation::CanonicalMoved { number, hash })
            }
            _ => Ok(true),
        }
    }

    /// Does a machine's canonical chain hold this block?
    pub(crate) fn has(&self, node: NodeId, number: u64, hash: &B256) -> bool {
        self.paths.get(node).is_some_and(|path| path.blocks.get(&number) == Some(hash))
    }

    /// The lowest number at which two chains differ, above both sync tips.
    fn root(&self, (a, b): Ends) -> Option<Root> {
        let (a, b) = (self.paths.get(a)?, self.paths.get(b)?);
        let floor = a.tip.block_number.max(b.tip.block_number);
        let (mut number, mut lowest) = (a.head?.0.min(b.head?.0), None);
        while number > floor {
            match (a.blocks.get(&number), b.blocks.get(&number)) {
                (Some(x), Some(y)) if x != y => lowest = Some((number, *x, *y)),
                _ => break, // chains that have a block in common have all before it
            }
            number -= 1;
        }
        lowest
    }

    /// Are both heads at the same number?
    fn are_level(&self, (a, b): Ends) -> bool {
        let number = |node: NodeId| self.paths[node].head.map(|(number, _)| number);
        number(a) == number(b)
    }

    /// Did one of the two speak of these two blocks, or prove that one of the chains holds a contradiction from there on? A chain that does
    /// is not followed back to where it parts (C8).
    fn has_noticed(&self, (a, b): Ends, (number, left, right): Root) -> bool {
        let (a, b) = (&self.paths[a], &self.paths[b]);
        let above = || a.blocks.range(number..).chain(b.blocks.range(number..)).map(|(_, hash)| hash);
        let knows = |path: &Path| {
            (path.forked.contains(&left) && path.forked.contains(&right)) || above().any(|hash| path.contradicting.contains(hash))
        };
        knows(a) || knows(b)
    }

    fn signer(&self, hash: &B256) -> Address {
        self.known.get(hash).map_or(Address::ZERO, |known| known.signer)
    }

    /// Did their signer say these in two windows, the earlier of which binds it no more, since L1's chain has left what it said there (P5.9)?
    fn were_said_anew(&self, blocks: [B256; 2], settled: impl Fn(u64) -> Option<B256>) -> bool {
        let [Some(a), Some(b)] = blocks.map(|hash| self.known.get(&hash)) else { return false };
        let earlier = if a.window_end < b.window_end { blocks[0] } else { blocks[1] };
        a.window_end != b.window_end && self.has_left(earlier, settled)
    }

    /// Has L1 settled another block at this one's number, or at that of one before it?
    fn has_left(&self, mut hash: B256, settled: impl Fn(u64) -> Option<B256>) -> bool {
        while let Some(block) = self.known.get(&hash) {
            if let Some(settled) = settled(block.number) {
                return settled != hash;
            }
            hash = block.parent;
        }
        false
    }
}

impl World {
    /// From now on two preconfers of this world may build on one parent, because they do not see each other's blocks in time (C9). Otherwise
    /// connected honest nodes never hold different blocks at one number.
    pub fn allow_forks(&mut self) {
        self.agreement.may_fork = true;
    }

    /// A machine's step is over: compares its chain with its neighbours', if its head moved.
    pub(crate) fn follow(&mut self, node: NodeId) -> Result<(), Failure> {
        let Some(core) = self.nodes[node].core() else { return Ok(()) };
        let (head, tip) = (core.head(), core.sync_tip());
        if !self.agreement.follow(node, head, tip).map_err(|violation| self.failure(node, violation))? {
            return Ok(());
        }
        for place in 0..self.nodes[node].linked.len() {
            let other = self.nodes[node].linked[place];
            self.compare(ends(node, other))?;
        }
        Ok(())
    }

    /// Compares the chains of two nodes, if they are honest and connected.
    pub(crate) fn compare(&mut self, ends: Ends) -> Result<(), Failure> {
        let Some(connection) = self.links.get(&ends).filter(|link| !link.cut).and_then(|link| link.connection) else { return Ok(()) };
        let Some(root @ (number, left, right)) = self.agreement.root(ends) else { return Ok(()) };
        let signers = [left, right].map(|hash| self.agreement.signer(&hash));
        let is_known = ![left, right].iter().any(|word| self.words.is_forgotten(word));
        let may_fork = self.agreement.may_fork;
        let is_allowed = if signers[0] == signers[1] && is_known {
            self.is_hostile_seat(signers[0])
                || (may_fork && self.agreement.were_said_anew([left, right], |number| self.office.as_ref()?.l1.settled_at(number)))
        } else {
            may_fork
        };
        if !is_allowed {
            let (node, other) = ends;
            return Err(self.failure(node, Violation::Disagree { other, number, hashes: Box::new([left, right]) }));
        }
        if self.agreement.has_noticed(ends, root) || self.agreement.are_level(ends) {
            self.agreement.open.remove(&(ends, root));
            return Ok(());
        }
        let Agreement { open, due, .. } = &mut self.agreement;
        if open.insert((ends, root), connection) != Some(connection) {
            due.insert((self.now.after(NOTICED_WITHIN), ends, root));
        }
        Ok(())
    }

    /// Forks that somebody must have noticed by now.
    pub(crate) fn forks_due(&mut self) -> Result<(), Failure> {
        while let Some((_, ends, root)) = self.agreement.due.first().copied().filter(|(at, ..)| *at <= self.now) {
            self.agreement.due.pop_first();
            let later = self.agreement.due.iter().any(|(_, other, same)| (*other, *same) == (ends, root));
            let Some(over) = self.agreement.open.get(&(ends, root)).copied().filter(|_| !later) else { continue };
            self.agreement.open.remove(&(ends, root));
            let stands = self.links.get(&ends).is_some_and(|link| !link.cut && link.connection == Some(over));
            if stands && self.agreement.root(ends) == Some(root) && !self.agreement.has_noticed(ends, root) {
                let ((node, other), (number, ..)) = (ends, root);
                return Err(self.failure(node, Violation::ForkUnnoticed { other, number, within: NOTICED_WITHIN }));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::link::Terms;
    use super::super::node::Setup;
    use super::*;

    fn hash(byte: u8) -> B256 {
        B256::repeat_byte(byte)
    }

    /// One machine, and blocks 1 to 3 on one another, and another block 2.
    fn agreement() -> Agreement {
        let mut agreement = Agreement::default();
        for (block, parent) in [(1, 0), (2, 1), (3, 2), (20, 1)] {
            let number = u64::from(block % 18);
            let known = Known { number, parent: hash(parent), signer: Address::ZERO, window_end: u64::from(block) };
            agreement.known.insert(hash(block), known);
        }
        agreement.started(0);
        agreement
    }

    #[test]
    fn c9_a_head_that_moves_otherwise_than_up_is_noticed() {
        for wrong in [None, Some((1, hash(1))), Some((2, hash(20)))] {
            let mut agreement = agreement();
            assert_eq!(agreement.follow(0, Some((2, hash(2))), SyncTip::default()), Ok(true));
            let moved = agreement.follow(0, wrong, SyncTip::default());
            assert_eq!(moved, Err(Violation::CanonicalMoved { number: 2, hash: hash(2) }));
        }
    }

    #[test]
    fn c9_a_fork_that_nobody_reports_is_noticed_once_one_of_the_two_was_ahead_for_long_enough() {
        let mut world = World::new(7);
        world.allow_forks();
        for _ in 0..2 {
            let node = world.add_node(Setup::plain());
            world.link_to_all(node, Terms::default());
        }
        world.run_for(Duration::from_secs(1)).expect("nothing happens");
        for (block, parent) in [(1, 0), (2, 1), (20, 0)] {
            let known = Known { number: 0, parent: hash(parent), signer: Address::repeat_byte(block), window_end: 0 };
            world.agreement.known.insert(hash(block), known);
        }
        let path =
            |blocks: &[(u64, B256)]| Path { head: blocks.last().copied(), blocks: blocks.iter().copied().collect(), ..Path::default() };
        world.agreement.paths = vec![path(&[(1, hash(1))]), path(&[(1, hash(20))])];
        let later = |world: &mut World| {
            world.compare((0, 1))?;
            world.now = world.now.after(NOTICED_WITHIN);
            world.forks_due()
        };
        later(&mut world).expect("two that are level have nothing to ask each other");
        world.agreement.paths[0] = path(&[(1, hash(1)), (2, hash(2))]);
        let failed = later(&mut world).expect_err("one is ahead, and neither speaks");
        assert_eq!(failed.violation, Violation::ForkUnnoticed { other: 1, number: 1, within: NOTICED_WITHIN });
    }

    #[test]
    fn c9_a_fork_that_was_noticed_excuses_no_other_at_its_number() {
        let mut agreement = agreement();
        agreement.started(1);
        agreement.paths[1].forked.extend([hash(2), hash(20)]);
        assert!(agreement.has_noticed((0, 1), (2, hash(20), hash(2))));
        assert!(!agreement.has_noticed((0, 1), (2, hash(21), hash(2))));
        agreement.paths[0].blocks.extend([(2, hash(21)), (3, hash(22))]);
        agreement.paths[1].contradicting.insert(hash(23));
        assert!(!agreement.has_noticed((0, 1), (2, hash(21), hash(2))), "that block lies on neither chain");
        agreement.paths[1].contradicting.insert(hash(22));
        assert!(agreement.has_noticed((0, 1), (2, hash(21), hash(2))), "the other chain holds a contradiction");
    }

    #[test]
    fn p5_9_a_later_window_may_say_another_block_once_l1_has_left_the_first_and_no_sooner() {
        let agreement = agreement();
        // Block 3 stands on 2; 20 is another block 2, said in a later window.
        let anew = |blocks: [u8; 2], settled: Option<(u64, u8)>| {
            let at = |number| settled.filter(|(of, _)| *of == number).map(|(_, block)| hash(block));
            agreement.were_said_anew(blocks.map(hash), at)
        };
        assert!(!anew([2, 20], None), "L1 says nothing yet");
        assert!(!anew([20, 2], Some((1, 1))), "both stand on what it settled");
        assert!(!anew([2, 20], Some((2, 2))), "the first is what it settled");
        assert!(anew([2, 20], Some((2, 20))) && anew([20, 2], Some((2, 20))), "another is");
        assert!(anew([2, 20], Some((1, 9))), "its parent was taken back");
        assert!(!anew([2, 2], Some((2, 20))), "one window");
    }

    #[test]
    fn c9_the_host_may_move_it_anywhere() {
        let mut agreement = agreement();
        agreement.follow(0, Some((3, hash(3))), SyncTip::default()).expect("up");
        let tip = SyncTip { block_number: 1, preconfirmation_hash: Some(hash(1)) };
        assert_eq!(agreement.follow(0, Some((2, hash(20))), tip), Ok(true));
        assert_eq!(agreement.follow(0, Some((2, hash(20))), tip), Ok(false), "nothing moved");
    }
}
