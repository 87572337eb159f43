//! `preconf devnet`
pub(crate) mod malice;
pub(crate) mod plan;
pub(crate) mod report;

/// `preconf devnet`.
#[derive(Debug, clap::Args)]
pub(crate) struct DevnetArgs {}

/// Runs it.
pub(crate) async fn run(_args: DevnetArgs) -> Result<bool, std::io::Error> {
    Ok(false)
}
