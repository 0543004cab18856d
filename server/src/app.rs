//! The composition root: builds the subsystems, runs them, ends them in order.

use crate::{
    access::Access,
    audit::{self, Audit, Subject},
    auth::{Accounts, SignInError, SignedIn},
    config::{Config, RedisSettings},
    http::{admin::Waiting, downloads::Downloads, uploads::Uploads},
    inventory,
    limits::Limits,
    persist::{self, Backend, Store, StoreError, records::UserRecord, redis::Place, secrets::Secrets},
    pools::{Pools, Registration, RegistryError},
    rpc::{
        connection::Connections, error::Failure, feed::Feed, listings::Listings, methods, registry::Registry,
        room::Rooms,
    },
    transfer::{self, Export, Line, TransferError},
};
use anyhow::Context as _;
use app::rpc::{ErrorCode, RpcError};
use serde_json::Value;
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Everything that a request may need.
pub struct App {
    pub config: Config,
    pub limits: Limits,
    pub store: Store,
    secrets: Secrets,
    pub accounts: Accounts,
    pub inventory: Arc<inventory::Store>,
    pub pools: Pools,
    pub access: Access,
    pub audit: Audit,
    pub feed: Arc<Feed>,
    pub connections: Connections,
    /// For messages that are being worked on.
    pub rooms: Arc<Rooms>,
    pub listings: Arc<Listings>,
    pub registry: Registry,
    pub downloads: Downloads,
    pub uploads: Uploads,
    /// What waits for the browsers of pages.
    pub waiting: Waiting,
    /// Tells one run of the server from another: revisions mean something within one only.
    pub epoch: u64,
    pub started: Instant,
    cancel: CancellationToken,
    /// Calls that still run are not waited for any longer.
    pub given_up: CancellationToken,
    /// Calls that will have a record in the audit log.
    pub noting: TaskTracker,
    tasks: TaskTracker,
}

/// Calls that are not answered when the server stops get so long to be written down as what was begun, at least.
const NOTING: Duration = Duration::from_secs(5);
/// After a failure to read what the store knows better.
const REREAD: Duration = Duration::from_secs(1);

/// The administrator that the first start made.
#[derive(Clone, Debug)]
pub struct FirstAdmin {
    pub email: String,
    /// The password, if it was generated: it is shown once and never again.
    pub generated_password: Option<String>,
}

impl App {
    /// Opens what is kept in the data directory; starts nothing.
    pub async fn build(config: Config) -> anyhow::Result<(Arc<Self>, Option<FirstAdmin>)> {
        let backend = persist::backend(&config.data_dir, &place(&config.redis)).await?;
        let limits = Limits {
            pace: config.pool_pace,
            ..Limits::default()
        };
        Self::with_backend(config, limits, backend).await
    }

    /// As [`App::build`], on a store and within limits of the caller's choice.
    pub async fn with_backend(
        config: Config,
        limits: Limits,
        backend: Arc<dyn Backend>,
    ) -> anyhow::Result<(Arc<Self>, Option<FirstAdmin>)> {
        let secrets = Secrets::open(&config.data_dir.join("key"))?;
        let store = Store::open(backend, &secrets).await?;
        let key = audit::Key::of(&secrets);
        let audit = Audit::open(&config.data_dir, key, config.audit, limits.refused)
            .with_context(|| format!("the audit log in {}", config.data_dir.display()))?;
        let unreadable = store.unreadable_secrets(&secrets).await?;
        if !unreadable.is_empty() {
            tracing::error!(
                records = unreadable.join(" "),
                "secrets were sealed with another key file: bring it back, or enter them again"
            );
        }
        let accounts = Accounts::open(store.clone(), secrets.clone(), limits.tokens).await?;
        if audit.is_new() && !accounts.is_empty() {
            tracing::error!(
                folder = %config.data_dir.display(),
                "the store is not new, and there is no audit log beside it: if nobody moved it, somebody removed it. \
                 A new one begins"
            );
        }
        let inventory = Arc::new(inventory::Store::new(limits.removals));
        let access = Access::open(store.clone(), inventory.clone(), accounts.directory()).await?;
        let pools = Pools::open(store.clone(), secrets.clone(), inventory.clone(), limits.pace).await?;
        // The administrator comes last: a first start that fails before it can be repeated.
        if accounts.is_empty() {
            register_first_servers(&pools, &config.first_servers).await?;
        }
        let first_admin = first_admin(&accounts, &config).await?;
        let feed = Arc::new(Feed::new(inventory.clone(), pools.clone()));
        let app = Arc::new(Self {
            config,
            store,
            secrets,
            accounts,
            inventory,
            pools,
            access,
            audit,
            feed,
            connections: Connections::default(),
            rooms: Rooms::new(limits.messages),
            listings: Arc::new(Listings::new(limits.listings, limits.room_patience)),
            registry: Registry::new(methods::all()),
            downloads: Downloads::new(limits.tickets),
            uploads: Uploads::new(limits.tickets),
            waiting: Waiting::default(),
            // 53 bits: the browser's numbers hold it.
            epoch: rand::random::<u64>() >> 11,
            started: Instant::now(),
            cancel: CancellationToken::new(),
            given_up: CancellationToken::new(),
            noting: TaskTracker::new(),
            tasks: TaskTracker::new(),
            limits,
        });
        Ok((app, first_admin))
    }

    /// The configuration as today's product exports it (see `transfer`).
    pub async fn export_config(&self, entries: Option<&[String]>) -> Result<Value, TransferError> {
        let exported = transfer::export_config(&self.store, &self.secrets, entries).await?;
        Ok(Value::Object(exported))
    }

    /// Brings a configuration in while the server runs: nobody changes people, rights or servers meanwhile, and
    /// what is in memory is read anew.
    pub async fn import_config(&self, export: Export) -> Result<Vec<Line>, TransferError> {
        let (lines, renewed) = {
            let _people = self.accounts.hold().await;
            let _entries = self.access.hold().await;
            let _servers = self.pools.hold().await;
            let lines = transfer::import_config(&self.store, &self.secrets, export, false).await?;
            (lines, self.reload_people().await?)
        };
        self.end_stale_sessions(renewed).await?;
        self.pools.reload().await?;
        Ok(lines)
    }

    /// Whoever calls it holds people and entries. Returns who has another password now.
    async fn reload_people(&self) -> Result<Vec<String>, StoreError> {
        let before = self.accounts.records();
        self.accounts.reload().await?;
        self.access.reload().await?;
        let mut renewed = Vec::new();
        for (id, user) in before {
            let same = |now: Arc<UserRecord>| now.password_hash == user.password_hash;
            if !self.accounts.user(&id).is_some_and(same) {
                renewed.push(id);
            }
        }
        self.end_sessions_of_change(&[]);
        Ok(renewed)
    }

    /// Ends what somebody's old password had opened in browsers, and sessions whose token is gone.
    async fn end_stale_sessions(&self, renewed: Vec<String>) -> Result<(), StoreError> {
        for id in renewed {
            let ended = self.accounts.tokens.end_browsers(&id).await?;
            self.connections.end_sessions(&ended);
        }
        for connection in self.connections.list() {
            if let Some(token) = connection.signed_in().and_then(|user| user.token)
                && !self.accounts.tokens.is_there(&token).await?
            {
                self.connections.end_sessions(&[token]);
            }
        }
        Ok(())
    }

    /// After a change of people: ends the sessions that have nothing to rest upon any more, those of tokens that went
    /// with it among them.
    pub fn end_sessions_of_change(&self, tokens: &[String]) {
        self.connections.end_sessions(tokens);
        self.connections.end(|user| !self.accounts.knows(user));
    }

    /// Reads what is in memory anew, whenever the store knows better, until the server stops.
    async fn follow_store(&self) {
        let read_anew = async || {
            self.store.surprise().await?;
            let renewed = {
                let _people = self.accounts.hold().await;
                let _entries = self.access.hold().await;
                self.reload_people().await?
            };
            self.pools.reload().await?;
            self.store.has_read_anew();
            self.end_stale_sessions(renewed).await?;
            Ok::<_, StoreError>(())
        };
        loop {
            let done = tokio::select! {
                () = self.cancel.cancelled() => return,
                done = read_anew() => done,
            };
            match done {
                Ok(()) => tracing::info!("people, rights and servers were read anew"),
                Err(error) => {
                    tracing::warn!(%error, "people, rights and servers could not be read anew");
                    // It goes on, or the server stops.
                    drop(tokio::time::timeout(REREAD, self.cancel.cancelled()).await);
                }
            }
        }
    }

    /// Starts the pools' drivers and the pacer of notifications.
    pub fn start(self: &Arc<Self>) {
        let (feed, cancel) = (self.feed.clone(), self.cancel.clone());
        self.tasks.spawn(async move { feed.pace(cancel).await });
        let app = self.clone();
        self.tasks.spawn(async move { app.sweep_tokens().await });
        let app = self.clone();
        self.tasks.spawn(async move { app.follow_store().await });
        self.pools.start();
    }

    /// Removes expired tokens from the store, now and then, until the server stops.
    async fn sweep_tokens(&self) {
        loop {
            tokio::select! {
                () = self.cancel.cancelled() => return,
                () = tokio::time::sleep(self.limits.token_sweep) => {}
            }
            if let Err(error) = self.accounts.sweep_tokens().await {
                tracing::error!(%error, "expired tokens could not be removed");
            }
        }
    }

    /// Writes a sign-in down, successful or not. What was refused unseen, because too many came, is not.
    pub async fn note_sign_in(
        &self,
        name: Option<&str>,
        address: &str,
        how: &str,
        result: &Result<SignedIn, SignInError>,
    ) {
        let (user_id, success) = match result {
            Ok(signed_in) => (Some(signed_in.user_id.clone()), true),
            Err(SignInError::InvalidCredentials | SignInError::OtpNeeded(_)) => (None, false),
            Err(_) => return,
        };
        let known = match user_id.as_deref() {
            Some(id) => self.accounts.user(id).map(|user| user.email.clone()),
            // Of those who are there; anything else may be a password in the wrong field.
            None => name.and_then(|name| {
                let (_, user) = self.accounts.by_email(name)?;
                Some(user.email.clone())
            }),
        };
        let unknown = name.filter(|_| known.is_none());
        let subject = Subject {
            user_name: known,
            user_id,
            pseudonym: unknown.map(|name| self.audit.key().pseudonym(name)),
            address: address.to_owned(),
        };
        self.audit.sign_in(subject, how, success).await;
    }

    /// Writes down that somebody gave a token back.
    pub async fn note_sign_out(&self, user_id: String, address: String) {
        let known = self.accounts.user(&user_id);
        let subject = Subject {
            user_name: known.map(|user| user.email.clone()),
            user_id: Some(user_id),
            pseudonym: None,
            address,
        };
        self.audit.write("signOut", subject, Value::Null).await;
    }

    /// The pool of an object; an error when its link is down.
    pub fn pool_of(&self, object: &inventory::Object) -> Result<Arc<crate::pools::Pool>, Failure> {
        self.pools.pool_of(object).ok_or_else(|| {
            RpcError::new(ErrorCode::SERVER_UNREACHABLE, "server unreachable")
                .with_data(serde_json::json!({ "objectId": &*object.id }))
                .into()
        })
    }

    /// Cancelled when the server stops.
    pub fn cancelled(&self) -> CancellationToken {
        self.cancel.clone()
    }

    /// Ends clients when their calls are answered, or after a while, then links.
    pub async fn stop(&self) {
        self.cancel.cancel();
        if tokio::time::timeout(self.limits.stopping, self.connections.gone())
            .await
            .is_err()
        {
            tracing::warn!("some calls are not answered: what they began goes on in their pools");
        }
        self.given_up.cancel();
        self.noting.close();
        if tokio::time::timeout(NOTING, self.noting.wait()).await.is_err() {
            tracing::error!("calls were not written down in the audit log: it cannot be written");
        }
        for connection in self.connections.list() {
            connection.closing.cancel();
        }
        self.pools.stop().await;
        self.tasks.close();
        self.tasks.wait().await;
        if let Err(error) = self.store.close().await {
            tracing::warn!(%error, "the store was not closed well");
        }
    }
}

/// Where the store is, when it is in Redis.
pub fn place(settings: &RedisSettings) -> Place {
    Place {
        uri: settings.uri.clone(),
        socket: settings.socket.clone(),
        password: settings.password.clone(),
        tls_ca: settings.tls_ca.clone(),
        tls_certificate: settings.tls_certificate.clone(),
        tls_key: settings.tls_key.clone(),
    }
}

/// Makes the first administrator of an empty store. There is no well-known password.
async fn first_admin(accounts: &Accounts, config: &Config) -> anyhow::Result<Option<FirstAdmin>> {
    if !accounts.is_empty() {
        return Ok(None);
    }
    let email = config.admin_email.clone();
    let given = config
        .admin_password
        .clone()
        .filter(|password| !password.is_empty());
    let generated_password = given.is_none().then(generate_password);
    let password = given.or_else(|| generated_password.clone()).unwrap_or_default();
    accounts.create(&email, &password, "admin").await?;
    Ok(Some(FirstAdmin {
        email,
        generated_password,
    }))
}

/// Registers the pools that the operator named for the first start. A certificate is trusted when it is
/// met first, and pinned.
async fn register_first_servers(pools: &Pools, servers: &[String]) -> anyhow::Result<()> {
    for server in servers {
        let (scheme, rest) = server.split_once("://").unwrap_or(("https", server));
        let (user, rest) = rest
            .split_once(':')
            .context("a first server needs user:password@host")?;
        let (password, host) = rest
            .rsplit_once('@')
            .context("a first server needs user:password@host")?;
        let registration = Registration {
            host: format!("{scheme}://{host}"),
            username: user.to_owned(),
            password: password.to_owned(),
            fingerprint: (scheme == "https").then(|| "first-use".to_owned()),
            ..Registration::default()
        };
        match pools.add(registration, false).await {
            Ok(_) | Err(RegistryError::AlreadyExists { .. }) => {}
            Err(error) => return Err(error).with_context(|| format!("first server {host}")),
        }
    }
    Ok(())
}

/// Five groups of four characters that are not easily taken for one another: about 98 bits.
fn generate_password() -> String {
    const ALPHABET: &[u8; 30] = b"abcdefghjkmnpqrstuvwxyz2345678";
    let group = || {
        let pick = || char::from(ALPHABET[rand::random_range(0..ALPHABET.len())]);
        [(); 4].map(|()| pick()).iter().collect::<String>()
    };
    [(); 5].map(|()| group()).join("-")
}
