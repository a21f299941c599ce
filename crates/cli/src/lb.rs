//! `longshore lb`: a node of balancers.

use longshore_lb::Config;

use crate::args::LbOptions;
use crate::ca_file::Trusted;
use crate::failure::Failure;
use crate::{client, shutdown};

/// Runs the balancer until it is asked to stop, or another process takes over.
pub(crate) async fn run(
    options: LbOptions,
    endpoint: &str,
    region: &str,
    trusted: Trusted,
) -> Result<(), Failure> {
    let server = options.server.or_else(|| options.snapshot.is_none().then(|| endpoint.to_owned()));
    let config = Config {
        server,
        region: region.to_owned(),
        credentials: client::credentials(),
        authorities: trusted.pem,
        data_dir: options.data_dir,
        snapshot: options.snapshot,
        metrics_listen: options.metrics_listen,
        workers: options.workers,
    };
    let ended = longshore_lb::run(config, shutdown::requested()).await;
    ended.map_err(|error| Failure::caused("the balancer stopped", &error))
}
