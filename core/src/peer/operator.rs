//! What may the operator say about peers and addresses (P7.4, P7.6, P8.1)?
//!
//! Each wish is done when it is taken, and a repeated one changes nothing. Blocks hold for what stands and for what comes; they are the
//! operator's own, so the end of a ban does not lift them, nor does lifting them end a ban.

use std::net::IpAddr;

use crate::error::CommandError;
use crate::id::{CommandId, PeerId};
use crate::machine::Core;
use crate::output::{Action, Event};
use crate::peer::gate::Gate;
use crate::peer::score::Standing;
use crate::peer::subnet::Cidr;
use crate::time::{Now, Time, Timer};

impl Core {
    /// The operator's lists: who and what is blocked and protected (P8.1).
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Every banned peer and when its ban ends, the one that was seen longest ago first.
    pub fn banned(&self, now: Now) -> Vec<(PeerId, Time)> {
        let ends = |peer: PeerId| Some((peer, self.peers.ledger(&peer)?.ban_ends(now.mono)?));
        self.peers.banned().filter_map(ends).collect()
    }

    /// Every trusted peer, in the order of their ids.
    pub fn trusted(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.peers.trusted()
    }

    pub(crate) fn block_peer(&mut self, peer: PeerId) -> Result<CommandId, CommandError> {
        if self.gate.block_peer(peer)? {
            self.cx.act(Action::Block { peer });
        }
        Ok(self.cx.mint.commands.next(CommandId))
    }

    pub(crate) fn unblock_peer(&mut self, now: Now, peer: PeerId) -> CommandId {
        if self.gate.unblock_peer(peer) {
            self.let_back_in(now, peer);
        }
        self.cx.mint.commands.next(CommandId)
    }

    /// Takes a peer back, unless something else still stands against it.
    pub(crate) fn let_back_in(&mut self, now: Now, peer: PeerId) {
        if !self.gate.is_blocked(peer) && self.peers.standing(now.mono, &peer) != Standing::Banned {
            self.cx.act(Action::Unblock { peer });
        }
    }

    pub(crate) fn block_address(&mut self, address: IpAddr) -> Result<CommandId, CommandError> {
        if self.gate.block_address(address)? {
            self.close_from(&Cidr::around(address, u8::MAX));
        }
        Ok(self.cx.mint.commands.next(CommandId))
    }

    pub(crate) fn unblock_address(&mut self, address: IpAddr) -> CommandId {
        self.gate.unblock_address(address);
        self.cx.mint.commands.next(CommandId)
    }

    pub(crate) fn block_subnet(&mut self, subnet: Cidr) -> Result<CommandId, CommandError> {
        if self.gate.block_subnet(subnet)? {
            self.close_from(&subnet);
        }
        Ok(self.cx.mint.commands.next(CommandId))
    }

    pub(crate) fn unblock_subnet(&mut self, subnet: Cidr) -> CommandId {
        self.gate.unblock_subnet(subnet);
        self.cx.mint.commands.next(CommandId)
    }

    /// Closes the connections whose other end lies there.
    fn close_from(&mut self, block: &Cidr) {
        for connection in self.peers.connections_from(block) {
            self.cx.act(Action::CloseConnection { connection });
        }
    }

    pub(crate) fn protect(&mut self, peer: PeerId) -> Result<CommandId, CommandError> {
        self.gate.protect(peer)?;
        self.peers.set_protected(&peer, true);
        Ok(self.cx.mint.commands.next(CommandId))
    }

    /// A trusted or static peer stays protected (P8.1).
    pub(crate) fn unprotect(&mut self, peer: PeerId) -> CommandId {
        if !self.dials.is_static(&peer) && !self.peers.is_trusted(&peer) {
            self.gate.unprotect(peer);
            self.peers.set_protected(&peer, false);
        }
        self.cx.mint.commands.next(CommandId)
    }

    /// P7.6
    pub(crate) fn trust(&mut self, now: Now, peer: PeerId) -> Result<CommandId, CommandError> {
        self.gate.protect(peer)?;
        let before = self.peers.standing(now.mono, &peer);
        self.peers.set_trusted(now.mono, peer, true);
        self.peers.set_protected(&peer, true);
        self.pardoned(now, peer, before, "P7.6");
        Ok(self.cx.mint.commands.next(CommandId))
    }

    pub(crate) fn distrust(&mut self, now: Now, peer: PeerId) -> CommandId {
        self.peers.set_trusted(now.mono, peer, false);
        self.unprotect(peer)
    }

    /// Ends a ban before its time.
    pub(crate) fn lift_ban(&mut self, now: Now, peer: PeerId) -> Result<CommandId, CommandError> {
        let before = self.peers.standing(now.mono, &peer);
        if before != Standing::Banned {
            return Err(CommandError::NotBanned);
        }
        self.peers.ledger_mut(now.mono, peer).lift_ban(now.mono);
        self.pardoned(now, peer, before, "P7.4");
        Ok(self.cx.mint.commands.next(CommandId))
    }

    /// A peer may have been given back what it had lost.
    fn pardoned(&mut self, now: Now, peer: PeerId, before: Standing, rule: &'static str) {
        self.cx.timers.cancel(Timer::Ban(peer));
        self.mirror_now(now, peer);
        let standing = self.peers.standing(now.mono, &peer);
        if before != standing {
            self.cx.tell(Event::StandingChanged { peer, standing, rule });
            self.keep_peer(now, peer);
            self.dispatch_soon(); // it can be asked again (P7.4)
        }
        if before == Standing::Banned {
            self.peers.set_banned(&peer, false);
            self.let_back_in(now, peer);
        }
    }
}
