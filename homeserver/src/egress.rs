//! Calls to other servers. Those to addresses that users name, such as push gateways, reach what anybody on the Internet reaches, and
//! nothing that only this machine or its network does.

use std::error::Error as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use config::Network;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, ClientBuilder, Response, Url};

/// A client that is made when it is first used: making one reads the system's some 150 certificates, each from its file, and a server
/// may run for long without calling anybody.
pub struct LazyClient {
    builder: Box<dyn Fn() -> ClientBuilder + Send + Sync>,
    client: OnceLock<Client>,
}

impl LazyClient {
    /// The client that `builder` describes.
    #[must_use]
    pub fn new(builder: impl Fn() -> ClientBuilder + Send + Sync + 'static) -> Self {
        Self { builder: Box::new(builder), client: OnceLock::new() }
    }

    /// The client. What keeps it from being made is logged, and tried again the next time.
    ///
    /// # Errors
    /// When TLS cannot be set up: on a system without certificates.
    pub fn get(&self) -> reqwest::Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        match (self.builder)().build() {
            // Of two that are made at once, one is dropped.
            Ok(client) => Ok(self.client.get_or_init(|| client)),
            Err(error) => {
                let cause = error.source().map_or_else(|| error.to_string(), ToString::to_string);
                tracing::error!(
                    cause,
                    "no other server can be called: are the system's certificates (ca-certificates) installed?"
                );
                Err(error)
            }
        }
    }
}

impl std::fmt::Debug for LazyClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LazyClient").field("client", &self.client).finish_non_exhaustive()
    }
}

/// A name that leads to no public address.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("this name leads to no public address")]
pub struct NotPublic;

/// The addresses that may be called: all public ones, and those in networks that the operator allows. As a resolver it finds no
/// others. What it is asked is what is connected to, so a name whose address changes in between gains nothing.
#[derive(Clone, Debug, Default)]
pub struct Reach(Arc<[Network]>);

impl Reach {
    /// Public addresses, and those in `allowed`.
    #[must_use]
    pub fn new(allowed: &[Network]) -> Self {
        Self(allowed.into())
    }

    /// Makes a client resolve names to these addresses only. It follows no redirect and asks no proxy: both would connect to
    /// places that nobody has looked at. An address in the URL itself needs [`Reach::names`].
    pub fn only(&self, builder: ClientBuilder) -> ClientBuilder {
        builder.dns_resolver(Arc::new(self.clone())).redirect(reqwest::redirect::Policy::none()).no_proxy()
    }

    /// Whether the URL names a host, or an address that may be called.
    #[must_use]
    pub fn names(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else { return false };
        // The URL's own form: an address is written in one way only, whatever was typed.
        host.trim_matches(['[', ']']).parse().map_or(true, |address| self.holds(address))
    }

    fn holds(&self, address: IpAddr) -> bool {
        is_public(address) || self.0.iter().any(|network| network.contains(address.to_canonical()))
    }
}

impl Resolve for Reach {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let within: Vec<SocketAddr> = found.filter(|address| reach.holds(address.ip())).collect();
            if within.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(within.into_iter()) as Addrs)
        })
    }
}

/// [`Reach::only`] for public addresses.
pub fn public_only(builder: ClientBuilder) -> ClientBuilder {
    Reach::default().only(builder)
}

/// [`Reach::names`] for public addresses.
#[must_use]
pub fn names_public(url: &Url) -> bool {
    Reach::default().names(url)
}

/// Whether a call failed because the name leads to no public address.
#[must_use]
pub fn is_not_public(error: &reqwest::Error) -> bool {
    let mut cause = error.source();
    while let Some(error) = cause {
        if error.is::<NotPublic>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// The beginning of an answer's body, `bytes_max` of it at most.
///
/// # Errors
/// When the connection breaks.
pub async fn read_body(mut response: Response, bytes_max: usize) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let space = bytes_max - body.len();
        body.extend_from_slice(chunk.get(..space).unwrap_or(&chunk));
        if body.len() == bytes_max {
            break;
        }
    }
    Ok(body)
}

/// Whether anybody on the Internet may reach the address (the special-purpose registries of IANA, RFC 6890).
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [first, second, third, _] = address.octets();
    !(address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || first == 0
        || first >= 240
        || (first == 100 && (64..128).contains(&second))
        || (first == 198 && (18..20).contains(&second))
        || (first == 192 && second == 0 && third == 0))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let embedded = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match segments {
        // Of IPv4, mapped or translated (RFC 4291, RFC 6052, RFC 3056): as that address is.
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => embedded(high, low),
        [0x2002, high, low, ..] => embedded(high, low),
        // Of the one block that is given out, without protocol assignments, Teredo among them, and documentation.
        [0x2001, second, ..] => second >= 0x200 && second != 0xdb8,
        [0x3fff, second, ..] => second >= 0x1000,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn public_addresses_are_those_of_the_internet() {
        for public in
            ["1.1.1.1", "93.184.216.34", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1", "64:ff9b::101:101"]
        {
            assert!(is_public(public.parse().expect(public)), "{public}");
        }
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "100.64.0.1",
            "192.0.0.1",
            "192.0.2.1",
            "198.18.0.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "2001:db8::1",
            "2001::1",
            "2002:7f00:1::1",
            "64:ff9b::7f00:1",
            "3fff::1",
            "100::1",
        ] {
            assert!(!is_public(private.parse().expect(private)), "{private}");
        }
    }

    #[test]
    fn an_address_in_a_url_is_looked_at_however_it_is_written() {
        let names_public = |url: &str| names_public(&Url::parse(url).expect(url));
        for refused in [
            "https://127.0.0.1/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://[::1]:443/",
            "https://[::ffff:10.0.0.1]/",
        ] {
            assert!(!names_public(refused), "{refused}");
        }
        for fine in ["https://push.example/", "https://1.1.1.1:8443/", "https://[2606:4700::1111]/"] {
            assert!(names_public(fine), "{fine}");
        }
    }

    #[test]
    fn a_client_is_made_at_its_first_use_and_once() {
        let _: Result<(), _> = rustls::crypto::ring::default_provider().install_default();
        let made = Arc::new(AtomicUsize::new(0));
        let counted = |describe: fn(ClientBuilder) -> ClientBuilder| {
            let made = Arc::clone(&made);
            LazyClient::new(move || {
                made.fetch_add(1, Ordering::SeqCst);
                describe(Client::builder())
            })
        };
        let client = counted(|builder| builder);
        assert_eq!(made.load(Ordering::SeqCst), 0, "nobody has called");
        client.get().expect("a client");
        client.get().expect("the same");
        assert_eq!(made.swap(0, Ordering::SeqCst), 1);
        // What cannot be made now may be made later.
        let broken = counted(|builder| builder.user_agent("two\nlines"));
        for _ in 0..2 {
            broken.get().expect_err("cannot be made");
        }
        assert_eq!(made.load(Ordering::SeqCst), 2);
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_not_connected_to() {
        let _: Result<(), _> = rustls::crypto::ring::default_provider().install_default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let client = public_only(Client::builder()).build().expect("a client");
        let url = format!("http://localhost:{}/", listener.local_addr().expect("bound").port());
        let error = client.get(url).send().await.expect_err("refused");
        assert!(is_not_public(&error), "{error:?}");
    }

    #[tokio::test]
    async fn the_operator_may_allow_networks() {
        let own = Reach::new(&[Network::v4(127, 0, 0, 0, 8), Network::v6(0, 0, 0, 127)]);
        for (address, held) in [("127.0.0.1", true), ("::ffff:127.0.0.1", true), ("10.0.0.1", false), ("1.1.1.1", true)] {
            assert_eq!(own.holds(address.parse().expect(address)), held, "{address}");
        }
        let found = async |reach: &Reach| reach.resolve("localhost".parse().expect("a name")).await.map(Iterator::count);
        assert!(found(&own).await.expect("this machine") > 0);
        assert!(found(&Reach::default()).await.is_err());
    }
}
