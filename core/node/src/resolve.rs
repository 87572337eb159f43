//! How are peers reached by name?
//!
//! [`Resolving`] stands on a transport of IP addresses, turns `/dns`, `/dns4` and `/dns6` into them and tries them in turn. Who knows the names
//! comes in: each runtime asks the system in its own way. `/dnsaddr` needs TXT records, which the system's resolver does not give; it is not
//! supported.

use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use libp2p_core::Transport;
use libp2p_core::transport::{DialOpts, ListenerId, TransportError, TransportEvent};
use multiaddr::{Multiaddr, Protocol};

/// Most addresses of one name that are tried. Ours: a stranger's name must not make us knock at a hundred doors.
const MAX_ADDRESSES: usize = 8;

/// How long a name is looked up. Ours: a quarter of what a whole dial may take, and enough for a resolver that asks once more.
const LOOKUP_LIMIT: Duration = Duration::from_secs(5);
/// How long all its addresses together may take. Ours: with the look-up 20 s, what a dial by address may take. Each gets an even share, so that
/// an address at which nobody answers leaves time for the next.
const DIAL_LIMIT: Duration = Duration::from_secs(15);

/// Looks a name up. Must not block the thread.
pub type LookUp = fn(String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>>;

/// Ends after a while.
pub type Sleep = fn(Duration) -> BoxFuture<'static, ()>;

/// A transport that looks names up. A dial by name takes no longer than one by address, however many addresses there are.
pub struct Resolving<T> {
    // A dial looks its name up first and only then needs the transport, from another task.
    inner: Arc<Mutex<T>>,
    look_up: LookUp,
    sleep: Sleep,
}

impl<T> Resolving<T> {
    /// Puts names on top of a transport of IP addresses.
    pub fn new(inner: T, look_up: LookUp, sleep: Sleep) -> Self {
        Self { inner: Arc::new(Mutex::new(inner)), look_up, sleep }
    }
}

/// What the future comes to, if it does so in time.
async fn within<O>(limit: Duration, sleep: Sleep, future: impl Future<Output = io::Result<O>>) -> io::Result<O> {
    match select(pin!(future), sleep(limit)).await {
        Either::Left((output, _)) => output,
        Either::Right(_) => Err(io::Error::new(io::ErrorKind::TimedOut, format!("no answer in {limit:?}"))),
    }
}

fn lock<T>(inner: &Mutex<T>) -> MutexGuard<'_, T> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<T> Transport for Resolving<T>
where
    T: Transport<Error = io::Error> + Send + Unpin + 'static,
    T::Dial: Send + 'static,
{
    type Output = T::Output;
    type Error = io::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = BoxFuture<'static, io::Result<T::Output>>;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
        lock(&self.inner).listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        lock(&self.inner).remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, options: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
        let Some((name, family)) = name_of(&address) else {
            let dial = lock(&self.inner).dial(address, options)?;
            return Ok(Box::pin(dial));
        };
        // Weak: a lookup under way must not keep the listeners of a node that is gone.
        let (inner, look_up, sleep) = (Arc::downgrade(&self.inner), self.look_up, self.sleep);
        Ok(Box::pin(async move {
            let mut failure = io::Error::new(io::ErrorKind::NotFound, format!("{name} has no {}", family.what()));
            let mut found = within(LOOKUP_LIMIT, sleep, look_up(name)).await?;
            found.retain(|ip| family.takes(*ip));
            found.truncate(MAX_ADDRESSES);
            let share = DIAL_LIMIT / u32::try_from(found.len()).unwrap_or(u32::MAX).max(1);
            for ip in found {
                let Some(address) = address.replace(0, |_| Some(ip.into())) else { continue };
                let Some(inner) = inner.upgrade() else { break };
                let dial = lock(&inner).dial(address, options);
                drop(inner);
                failure = match dial {
                    Ok(dial) => match within(share, sleep, dial).await {
                        Ok(output) => return Ok(output),
                        Err(error) => error,
                    },
                    Err(error) => io::Error::other(error),
                };
            }
            Err(failure)
        }))
    }

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<TransportEvent<T::ListenerUpgrade, io::Error>> {
        Pin::new(&mut *lock(&self.inner)).poll(context)
    }
}

/// Which addresses of a name are wanted?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Any,
    V4,
    V6,
}

impl Family {
    fn takes(self, ip: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }

    fn what(self) -> &'static str {
        match self {
            Self::Any => "address",
            Self::V4 => "IPv4 address",
            Self::V6 => "IPv6 address",
        }
    }
}

fn name_of(address: &Multiaddr) -> Option<(String, Family)> {
    match address.iter().next()? {
        Protocol::Dns(name) => Some((name.into_owned(), Family::Any)),
        Protocol::Dns4(name) => Some((name.into_owned(), Family::V4)),
        Protocol::Dns6(name) => Some((name.into_owned(), Family::V6)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use futures::FutureExt;
    use libp2p_core::Endpoint;
    use libp2p_core::transport::PortUse;

    use super::*;

    /// Fails every dial, and says at which door.
    struct Doors;

    impl Transport for Doors {
        type Output = ();
        type Error = io::Error;
        type ListenerUpgrade = std::future::Pending<io::Result<()>>;
        type Dial = BoxFuture<'static, io::Result<()>>;

        fn listen_on(&mut self, _: ListenerId, address: Multiaddr) -> Result<(), TransportError<io::Error>> {
            Err(TransportError::MultiaddrNotSupported(address))
        }

        fn remove_listener(&mut self, _: ListenerId) -> bool {
            false
        }

        fn dial(&mut self, address: Multiaddr, _: DialOpts) -> Result<Self::Dial, TransportError<io::Error>> {
            let (opens, hangs) = (address.to_string().contains("::9"), address.to_string().contains("198.51.100"));
            if hangs {
                return Ok(std::future::pending().boxed());
            }
            Ok(std::future::ready(if opens { Ok(()) } else { Err(io::Error::other(address.to_string())) }).boxed())
        }

        fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<TransportEvent<Self::ListenerUpgrade, io::Error>> {
            Poll::Pending
        }
    }

    /// `mixed` has two addresses of each family, `many` has a hundred, of which the ninth would open.
    fn look_up(name: String) -> BoxFuture<'static, io::Result<Vec<IpAddr>>> {
        let v4 = |n| IpAddr::from([192, 0, 2, n]);
        let v6 = |n| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, n]);
        let found = match name.as_str() {
            "mixed" => Ok(vec![v4(1), v6(1), v4(2), v6(2)]),
            "many" => Ok((1..=100).map(v6).collect()),
            "lost" => Ok((1..=8).map(|n| IpAddr::from([198, 51, 100, n])).collect()),
            "moved" => Ok(vec![IpAddr::from([198, 51, 100, 1]), v6(9)]),
            "slow" => return std::future::pending().boxed(),
            "empty" => Ok(Vec::new()),
            _ => Err(io::Error::new(io::ErrorKind::NotFound, "no such name")),
        };
        std::future::ready(found).boxed()
    }

    thread_local! {
        /// How long was slept until the end.
        static SLEPT: Cell<Duration> = const { Cell::new(Duration::ZERO) };
    }

    /// Virtual: whoever waits for it has waited.
    fn sleep(span: Duration) -> BoxFuture<'static, ()> {
        async move { SLEPT.set(SLEPT.get() + span) }.boxed()
    }

    fn dial(text: &str) -> io::Result<()> {
        let options = DialOpts { role: Endpoint::Dialer, port_use: PortUse::New };
        let mut transport = Resolving::new(Doors, look_up, sleep);
        let dial = transport.dial(address(text), options).expect("it can be dialed");
        dial.now_or_never().expect("nothing waits")
    }

    fn address(text: &str) -> Multiaddr {
        text.parse().expect("a multiaddr")
    }

    #[test]
    fn names_are_told_from_addresses() {
        assert_eq!(name_of(&address("/dns4/node.example/tcp/1")), Some(("node.example".into(), Family::V4)));
        assert_eq!(name_of(&address("/dns6/node.example/udp/1/quic-v1")), Some(("node.example".into(), Family::V6)));
        assert_eq!(name_of(&address("/dns/node.example/tcp/1")), Some(("node.example".into(), Family::Any)));
        assert_eq!(name_of(&address("/ip4/127.0.0.1/tcp/1")), None);
    }

    #[test]
    fn a_dial_ends_with_the_last_address_of_the_wanted_family() {
        let last = |text: &str| dial(text).expect_err("nobody opens").to_string();
        assert_eq!(last("/dns4/mixed/tcp/1"), "/ip4/192.0.2.2/tcp/1");
        assert_eq!(last("/dns6/mixed/tcp/1"), "/ip6/2001:db8::2/tcp/1");
        assert_eq!(last("/dns4/empty/tcp/1"), "empty has no IPv4 address");
        assert_eq!(last("/dns/nobody/tcp/1"), "no such name");
    }

    #[test]
    fn a_dial_by_name_takes_no_longer_than_one_by_address() {
        assert_eq!(dial("/dns/lost/tcp/1").expect_err("nobody answers").kind(), io::ErrorKind::TimedOut);
        assert_eq!(SLEPT.replace(Duration::ZERO), DIAL_LIMIT);
        assert_eq!(dial("/dns/slow/tcp/1").expect_err("no name server answers").kind(), io::ErrorKind::TimedOut);
        assert_eq!(SLEPT.replace(Duration::ZERO), LOOKUP_LIMIT);
    }

    #[test]
    fn an_address_at_which_nobody_answers_leaves_time_for_the_next() {
        dial("/dns/moved/tcp/1").expect("the second one opens");
        assert_eq!(SLEPT.get(), DIAL_LIMIT / 2);
    }

    #[test]
    fn a_name_with_a_hundred_addresses_costs_eight_dials() {
        assert_eq!(dial("/dns/many/tcp/1").expect_err("the ninth would open").to_string(), "/ip6/2001:db8::8/tcp/1");
        assert!(dial("/ip6/2001:db8::9/tcp/1").is_ok());
    }
}
