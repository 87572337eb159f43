//! What may the operator say about peers and addresses (P7.4, P7.6, P8.1)?
//!
//! Each update is done when it is taken, and a repeated one changes nothing. Blocks hold for what stands and for what comes; they are the
//! operator's own, so the end of a ban does not lift them, nor does lifting them end a ban.

use std::net::IpAddr;

use crate::error::UpdateError;
use crate::id::PeerId;
use crate::machine::Core;
use crate::output::Action;
use crate::peer::gater::ConnectionGater;
use crate::peer::score::Standing;
use crate::peer::subnet::Cidr;
use crate::time::{Now, Time};

impl Core {
    /// The operator's lists: who and what is blocked and protected (P8.1).
    pub fn gater(&self) -> &ConnectionGater {
        &self.gater
    }

    /// Every banned peer and when its ban ends, the one that was seen longest ago first.
    pub fn banned(&self, now: Now) -> Vec<(PeerId, Time)> {
        self.reputation.banned(now.mono).collect()
    }

    /// Every trusted peer, in the order of their ids.
    pub fn trusted(&self) -> impl Iterator<Item = PeerId> + '_ {
        self.reputation.trusted()
    }

    pub(crate) fn block_peer(&mut self, peer: PeerId) -> Result<(), UpdateError> {
        if self.gater.block_peer(peer)? {
            self.cx.act(Action::Block { peer });
        }
        Ok(())
    }

    pub(crate) fn unblock_peer(&mut self, peer: PeerId) {
        if self.gater.unblock_peer(peer) {
            self.reputation.let_back_in(&mut self.cx, peer, false);
        }
    }

    pub(crate) fn block_address(&mut self, address: IpAddr) -> Result<(), UpdateError> {
        if self.gater.block_address(address)? {
            self.close_from(&Cidr::around(address, u8::MAX));
        }
        Ok(())
    }

    pub(crate) fn unblock_address(&mut self, address: IpAddr) {
        self.gater.unblock_address(address);
    }

    pub(crate) fn block_subnet(&mut self, subnet: Cidr) -> Result<(), UpdateError> {
        if self.gater.block_subnet(subnet)? {
            self.close_from(&subnet);
        }
        Ok(())
    }

    pub(crate) fn unblock_subnet(&mut self, subnet: Cidr) {
        self.gater.unblock_subnet(subnet);
    }

    /// Closes the connections whose other end lies there.
    fn close_from(&mut self, block: &Cidr) {
        for connection in self.peers.connections_from(block) {
            self.cx.act(Action::CloseConnection { connection });
        }
    }

    pub(crate) fn protect(&mut self, peer: PeerId) -> Result<(), UpdateError> {
        self.gater.protect(peer)?;
        self.peers.set_protected(&peer, true);
        Ok(())
    }

    /// A trusted or static peer stays protected (P8.1).
    pub(crate) fn unprotect(&mut self, peer: PeerId) {
        if !self.dials.is_static(&peer) && !self.reputation.is_trusted(&peer) {
            self.gater.unprotect(peer);
            self.peers.set_protected(&peer, false);
        }
    }

    /// P7.6
    pub(crate) fn trust(&mut self, peer: PeerId) -> Result<(), UpdateError> {
        self.gater.protect(peer)?;
        self.peers.set_protected(&peer, true);
        let change = self.reputation.trust(&mut self.cx, peer, self.gater.is_blocked(peer));
        self.standing_changed(change);
        Ok(())
    }

    pub(crate) fn distrust(&mut self, now: Now, peer: PeerId) {
        self.reputation.distrust(now.mono, &peer);
        self.unprotect(peer);
    }

    /// Ends a ban before its time.
    pub(crate) fn lift_ban(&mut self, now: Now, peer: PeerId) -> Result<(), UpdateError> {
        if self.reputation.standing(now.mono, &peer) != Standing::Banned {
            return Err(UpdateError::NotBanned);
        }
        let change = self.reputation.lift_ban(&mut self.cx, peer, self.gater.is_blocked(peer));
        self.standing_changed(change);
        Ok(())
    }
}
