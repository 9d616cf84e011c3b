//! TLS: the certificates of a locker, and the addresses that ask for them.

#[cfg(feature = "sentinel")]
use redis::ConnectionAddr;
#[cfg(feature = "tls")]
use redis::TlsCertificates;
use redis::{ConnectionInfo, IntoConnectionInfo as _, RedisResult};

#[cfg(feature = "tls")]
use super::certificates::{secure, usable};

/// The certificates of a locker, in PEM form.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    /// Who may have signed the servers' certificates; without it, whom the system trusts.
    #[cfg(feature = "tls")]
    pub(crate) root: Option<Vec<u8>>,
    /// The client's certificate and its key.
    #[cfg(feature = "tls")]
    pub(crate) client: Option<(Vec<u8>, Vec<u8>)>,
}

impl Tls {
    /// What a URL says, with the certificates where it asks for TLS.
    #[cfg_attr(
        not(feature = "tls"),
        expect(clippy::unused_self, reason = "the same with and without the feature")
    )]
    pub(crate) fn parse(&self, url: &str) -> RedisResult<ConnectionInfo> {
        let info = url.into_connection_info()?;
        #[cfg(feature = "tls")]
        let info = secure(info, self.certificates()?)?;
        Ok(info)
    }

    #[cfg(feature = "tls")]
    pub(super) fn certificates(&self) -> RedisResult<Option<TlsCertificates>> {
        usable(self.root.as_deref(), self.client.as_ref())
    }
}

/// The same way in, with TLS or without, to another host and port.
#[cfg(feature = "sentinel")]
pub(super) fn elsewhere(address: &ConnectionAddr, host: String, port: u16) -> ConnectionAddr {
    match address {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
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
