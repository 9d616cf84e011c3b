//! Methods with any receiver, of types and of traits.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use async_trait::async_trait;
use redis_locked::{LockError, Locker, redis_locked};

use super::{alone, held};

#[derive(Clone)]
struct Shop {
    region: &'static str,
    sold: u32,
    locker: Locker,
}

fn shop() -> Shop {
    Shop {
        region: "eu",
        sold: 0,
        locker: Locker::in_memory(),
    }
}

impl Shop {
    const NAME: &'static str = "shop";

    fn id(&self) -> &str {
        self.region
    }

    #[redis_locked(key = "{self.region}:{id}", locker = self.locker)]
    async fn by_ref(&self, id: u8) -> Result<String, LockError> {
        assert_eq!(self.region, "eu");
        held()
    }

    #[redis_locked(key = "{self.region}", locker = &self.locker)]
    async fn by_mut(&mut self) -> Result<String, LockError> {
        self.sold += 1;
        held()
    }

    #[redis_locked(key = "{self.id()}", locker = self.locker.clone())]
    async fn by_value(self) -> Result<(String, Self), LockError> {
        Ok((held()?, self))
    }

    #[redis_locked(key = "{self.sold}", locker = self.locker)]
    async fn by_mut_value(mut self) -> Result<String, LockError> {
        self.sold += 1;
        assert_eq!(self.sold, 1);
        held()
    }

    #[redis_locked(key = "{self.region}", locker = self.locker)]
    async fn boxed(self: Box<Self>) -> Result<String, LockError> {
        held()
    }

    #[redis_locked(key = "{self.region}", locker = self.locker)]
    async fn rc(self: Rc<Self>) -> Result<String, LockError> {
        held()
    }

    #[redis_locked(key = "{self.region}", locker = self.locker)]
    async fn arc(self: &Arc<Self>) -> Result<String, LockError> {
        held()
    }

    #[redis_locked(key = "{self.region}", locker = self.locker)]
    async fn pinned(self: Pin<&mut Self>) -> Result<String, LockError> {
        held()
    }

    #[redis_locked(key = Self::NAME)]
    async fn associated() -> Result<String, LockError> {
        held()
    }

    #[redis_locked(key = self.id(), locker = self.locker, or_else = |error| Err(self.explain(&error)))]
    async fn with_closure(&self) -> Result<String, String> {
        held().map_err(|error| self.explain(&error))
    }

    fn explain(&self, error: &LockError) -> String {
        format!("{}: {error}", self.region)
    }
}

struct Named<T>(T);

impl<T: std::fmt::Display> Named<T> {
    #[redis_locked(key = "{self.0}")]
    async fn name(&self) -> Result<String, LockError> {
        held()
    }
}

impl std::fmt::Display for Shop {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.region)
    }
}

trait Job {
    fn name(&self) -> String;

    fn run(&self, id: u8) -> impl Future<Output = Result<String, LockError>>;

    #[redis_locked(key = "default:{self.name()}")]
    async fn provided(&self) -> Result<String, LockError> {
        held()
    }
}

impl Job for Shop {
    fn name(&self) -> String {
        self.region.to_owned()
    }

    #[redis_locked(key = "{self}:{id}")]
    async fn run(&self, id: u8) -> Result<String, LockError> {
        held()
    }
}

#[async_trait]
trait Boxed: Send + Sync {
    fn region(&self) -> &str;

    #[redis_locked(key = "provided:{self.region()}")]
    async fn provided(&self) -> Result<String, LockError> {
        held()
    }

    async fn run(&self, pair: (u8, u8), name: &str) -> Result<String, LockError>;
    async fn whole(&self) -> Result<String, LockError>;
    async fn count(&mut self, by: u32);
    async fn take(self: Box<Self>) -> Option<String>;
    async fn free() -> Result<String, LockError>
    where
        Self: Sized;
}

#[async_trait]
impl Boxed for Shop {
    fn region(&self) -> &str {
        self.region
    }

    #[redis_locked(key = "{self.region}:{a}:{b}:{name}", locker = self.locker, ttl = "1s")]
    async fn run(&self, (a, b): (u8, u8), name: &str) -> Result<String, LockError> {
        if a > b {
            return held();
        }
        let key = held()?;
        Ok(key + self.region)
    }

    #[redis_locked(key = "{self}")]
    async fn whole(&self) -> Result<String, LockError> {
        held()
    }

    #[redis_locked(key = self.region, skip)]
    async fn count(&mut self, mut by: u32) {
        by += 1;
        held().expect("this runs under a lock");
        self.sold += by;
    }

    #[redis_locked(key = format!("{}", self.region), or_else = |_| None)]
    async fn take(self: Box<Self>) -> Option<String> {
        held().ok()
    }

    #[redis_locked(key = "free")]
    async fn free() -> Result<String, LockError> {
        held()
    }
}

#[async_trait(?Send)]
trait Local {
    async fn run(&self, shared: Rc<u8>) -> Result<String, LockError>;
}

#[async_trait(?Send)]
impl Local for Shop {
    #[redis_locked(key = "{self.region}:{shared}")]
    async fn run(&self, shared: Rc<u8>) -> Result<String, LockError> {
        tokio::task::yield_now().await;
        drop(shared);
        held()
    }
}

#[tokio::test]
async fn receivers() {
    let mut shop = shop();
    assert_eq!(shop.by_ref(1).await.unwrap(), "eu:1");
    assert_eq!(shop.by_mut().await.unwrap(), "eu");
    assert_eq!(shop.sold, 1);
    assert_eq!(shop.clone().by_value().await.unwrap().0, "eu");
    shop.sold = 0;
    assert_eq!(shop.clone().by_mut_value().await.unwrap(), "0");
    assert_eq!(Box::new(shop.clone()).boxed().await.unwrap(), "eu");
    assert_eq!(Rc::new(shop.clone()).rc().await.unwrap(), "eu");
    assert_eq!(Arc::new(shop.clone()).arc().await.unwrap(), "eu");
    assert_eq!(Pin::new(&mut shop).pinned().await.unwrap(), "eu");
    assert_eq!(shop.with_closure().await.unwrap(), "eu");
    assert_eq!(alone(Shop::associated()).await, "shop");
    assert_eq!(alone(Named(5).name()).await, "5");
}

#[tokio::test]
async fn native_traits() {
    assert_eq!(alone(Job::run(&shop(), 1)).await, "eu:1");
    assert_eq!(alone(Job::provided(&shop())).await, "default:eu");
}

#[tokio::test]
async fn async_traits() {
    let mut shop = shop();
    assert_eq!(Boxed::run(&shop, (2, 1), "n").await.unwrap(), "eu:2:1:n");
    assert_eq!(Boxed::run(&shop, (1, 2), "n").await.unwrap(), "eu:1:2:neu");
    assert_eq!(alone(Boxed::provided(&shop)).await, "provided:eu");
    assert_eq!(alone(Boxed::whole(&shop)).await, "eu");
    assert_eq!(alone(<Shop as Boxed>::free()).await, "free");
    let scope = Locker::in_memory();
    scope.scope(Boxed::count(&mut shop, 1)).await;
    assert_eq!(shop.sold, 2);
    let shared: Box<dyn Boxed> = Box::new(shop.clone());
    assert_eq!(scope.scope(shared.take()).await.unwrap(), "eu");
    assert_eq!(alone(Local::run(&shop, Rc::new(1))).await, "eu:1");
}
