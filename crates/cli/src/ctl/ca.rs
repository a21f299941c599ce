//! `ctl ca`: the certificate of the authority that issues certificates here, for those who are to trust
//! it.

use longshore_agent::api::Api;

use crate::client::failed;
use crate::failure::Failure;
use crate::output::{self, Output};

/// Prints the certificate.
pub(super) async fn run(client: &Api, output: Output) -> Result<(), Failure> {
    let told = client.operator("GET", "ca").await;
    let told = told.map_err(failed("cannot ask for the certificate of the local authority"))?;
    match output {
        Output::Json => output::json(&told),
        Output::Table => {
            output::line(told["certificate"].as_str().unwrap_or_default().trim_end());
        }
    }
    Ok(())
}
