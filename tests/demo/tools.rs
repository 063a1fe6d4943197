//! `demo-tools`: the CRM tool server of the demo as a program; see `harness::tools`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use harness::tools::{app, credential::Verifier, serve};
use tokio::net::TcpListener;

/// An MCP server with three tools that each want a scope of their own.
#[derive(Parser)]
struct Options {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:10003")]
    listen: SocketAddr,
    /// The key set whose keys sign credentials
    #[arg(long, default_value = "http://127.0.0.1:10002/jwks.json")]
    jwks: String,
    /// What `iss` of a credential must be
    #[arg(long, default_value = "http://127.0.0.1:10002")]
    issuer: String,
    /// What `aud` of a credential must hold
    #[arg(long, default_value = "https://crm.internal")]
    audience: String,
    /// JSON lines of what arrived and what ran are appended to this file
    #[arg(long)]
    log: PathBuf,
}

#[tokio::main]
async fn main() -> std::io::Result<()> {
    let options = Options::parse();
    let verifier = Verifier::new(options.jwks, options.issuer, options.audience);
    let app = app(verifier, &options.log)?;
    let listener = TcpListener::bind(options.listen).await?;
    println!("demo-tools listens on http://{}/mcp", listener.local_addr()?);
    serve(listener, app).await
}
