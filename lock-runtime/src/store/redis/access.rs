//! What is needed to get into a server, looked up anew for each connection.

use redis::{ConnectionInfo, IntoConnectionInfo as _, RedisResult};

#[cfg(any(feature = "cluster", feature = "sentinel"))]
use super::address_map::AddressMap;
use super::credentials::Provider;
use super::tls::Tls;

/// A locker's certificates and credentials, and how it gets to announced addresses.
#[derive(Debug, Clone, Default)]
pub(crate) struct Access {
    pub(crate) tls: Tls,
    /// Who we are to the servers, instead of what the URLs say.
    pub(crate) credentials: Option<Provider>,
    #[cfg(any(feature = "cluster", feature = "sentinel"))]
    pub(crate) addresses: AddressMap,
}

impl Access {
    /// What a URL says.
    pub(crate) fn parse(&self, url: &str) -> RedisResult<ConnectionInfo> {
        let info = url.into_connection_info()?;
        self.tls.check(&info)?;
        Ok(info)
    }

    /// These settings, with the credentials and the certificates of this moment.
    pub(super) async fn complete(&self, info: &ConnectionInfo) -> RedisResult<ConnectionInfo> {
        let mut info = info.clone();
        if let Some(provider) = &self.credentials {
            let settings = provider.ask().await?.applied_to(info.redis_settings());
            info = info.set_redis_settings(settings);
        }
        self.tls.secure(info)
    }

    /// The same, to servers of which the credentials are not.
    #[cfg(feature = "sentinel")]
    pub(super) fn without_credentials(self) -> Self {
        Self {
            credentials: None,
            ..self
        }
    }
}
