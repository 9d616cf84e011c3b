//! TLS: the certificates of a locker, and the addresses that ask for them.

#[cfg(any(feature = "cluster", feature = "sentinel"))]
use redis::ConnectionAddr;
use redis::{ConnectionInfo, RedisResult};

#[cfg(feature = "tls")]
use super::certificates::{self, Pem};

/// The certificates of a locker.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    /// The authorities that may have signed the servers' certificates; without it, those that the system
    /// trusts.
    #[cfg(feature = "tls")]
    pub(crate) root: Option<Pem>,
    /// The client's certificate and its key.
    #[cfg(feature = "tls")]
    pub(crate) client: Option<(Pem, Pem)>,
}

#[cfg(feature = "tls")]
impl Tls {
    /// Refuses certificates where nobody asks for them, and such as can't be used.
    pub(super) fn check(&self, info: &ConnectionInfo) -> RedisResult<()> {
        certificates::choose_crypto(info);
        let given = self.certificates()?.is_some();
        certificates::check_address(info, given)
    }

    /// The same settings, with the certificates.
    pub(super) fn secure(&self, info: ConnectionInfo) -> RedisResult<ConnectionInfo> {
        certificates::secure(info, self.certificates()?)
    }

    /// What the certificates are at this moment.
    pub(super) fn certificates(&self) -> RedisResult<Option<redis::TlsCertificates>> {
        certificates::usable(self.root.as_ref(), self.client.as_ref())
    }
}

#[cfg(not(feature = "tls"))]
#[expect(
    clippy::unused_self,
    clippy::unnecessary_wraps,
    reason = "as with the feature"
)]
impl Tls {
    pub(super) fn check(&self, _: &ConnectionInfo) -> RedisResult<()> {
        Ok(())
    }

    pub(super) fn secure(&self, info: ConnectionInfo) -> RedisResult<ConnectionInfo> {
        Ok(info)
    }
}

/// The same way in, with TLS or without, to another host and port.
#[cfg(any(feature = "cluster", feature = "sentinel"))]
pub(super) fn elsewhere(address: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match address {
        ConnectionAddr::TcpTls { insecure, .. } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: None,
        },
        _ => ConnectionAddr::Tcp(host, port),
    }
}

/// Names no key.
impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut tls = f.debug_struct("Tls");
        #[cfg(feature = "tls")]
        tls.field("root", &self.root.is_some())
            .field("client", &self.client.is_some());
        tls.finish()
    }
}
