//! `accredit serve`

use std::error::Error;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Mutex;

use tokio::sync::Semaphore;
use tracing_subscriber::EnvFilter;

use crate::agents::known::Known;
use crate::agents::life::{self, Uses};
use crate::agents::registry;
use crate::app::{App, Inner};
use crate::audit::exporter;
use crate::checkpoint::sign::Notary;
use crate::checkpoint::{deliver, key, sign};
use crate::config::{self, Config, Listen};
use crate::issuer::Issuer;
use crate::keys::rotate::import;
use crate::lease::reap;
use crate::limit::Rates;
use crate::listener::stop::{Signals, Stop};
use crate::listener::{Listener, Over};
use crate::retention::{self, Reader};
use crate::seal::vault::Vault;
use crate::secrets::Secrets;
use crate::store::Store;
use crate::token::client::decoys;
use crate::{clock, foreign, keys};

/// Serves until the process is told to stop, and finishes what it has begun.
pub async fn run(path: &Path) -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
    let Config {
        issuer,
        listen,
        data,
        database,
        policy,
        operator,
        proxies,
        agents,
        credentials,
        secrets,
        rotation,
        signing_keys,
        audit,
        enterprises,
        signals,
        max_depth,
    } = config::broker(path)?;
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&data)
        .map_err(|error| format!("{}: {error}", data.display()))?;
    let issuer = Issuer::new(issuer, signing_keys);
    let prover = Mutex::default();
    let place = database.to_string();
    let store = Store::open(database).await.map_err(|error| format!("{place}: {error}"))?;
    let vault = Vault::unlock(&store, secrets, &data).await?;
    let secrets = Secrets::new(store.clone(), vault.clone());
    store.enter().await?;
    let notary = Notary::new(key::open(&store, &vault, issuer.url()).await?, audit.outside);
    let (uses, replica) = (Uses::default(), clock::id()?);
    let (Listen { address, tls, limits, rates, clients }, stop) = (listen, Stop::default());
    let app = App::new(Inner {
        issuer,
        store,
        policy,
        prover,
        enterprises,
        assertions: Mutex::default(),
        signals,
        max_depth,
        operator,
        proxies,
        credentials,
        vault,
        secrets,
        rotation,
        known: Known::default(),
        uses,
        replica,
        limits,
        rates: Rates::new(rates),
        decoys: decoys().map_err(|bad| format!("the set of decoys {bad}"))?,
        clients,
        questions: Semaphore::new(limits.connections / 2),
        stop: stop.clone(),
        notary,
    });
    import(&app, &data).await?;
    let _signer = keys::follow::start(&app).await.map_err(|error| error.internal)?;
    registry::reconcile(&app, &agents).await.map_err(|error| error.internal)?;
    let _reaper = reap::follow(&app).await?;
    let _keeper = life::follow(&app);
    let _follower = foreign::follow(&app);
    let _notary = sign::follow(&app);
    deliver::follow(&app)?;
    let reader = audit.collector.as_ref().map_or(Reader::None, |_| Reader::Collector);
    let _cutter = audit.keep.map(|keep| retention::follow(&app, keep, reader));
    let _exporter = exporter::follow(&app, audit.collector);
    let secured = tls.is_some();
    let listener =
        Listener::bind(address, tls, limits).await.map_err(|error| format!("`listen`: {address}: {error}"))?;
    tracing::info!(listen = %address, tls = secured, policy = app.policy.digest(), "ready");
    match listener.serve(app.clone().router(), stop, Signals::new()?).await {
        Over::Finished | Over::Late => {
            sign::last(&app, app.store.close().await).await;
            deliver::last(&app).await;
        }
        Over::ToldAgain => {}
    }
    Ok(())
}
