//! `longshore server init`: the identities that everything begins with.
//!
//! Their keys are shown here and nowhere else. Data goes to standard output in a form for `eval`, what to
//! do next to standard error.

use std::sync::Arc;

use longshore_domain::ids::AccountId;
use longshore_server::{InitError, Initialized, Keypair, MasterKey};
use longshore_store::Store;
use serde_json::json;

use crate::args::{InitOptions, key_exports};
use crate::failure::Failure;
use crate::output::{self, Output};
use crate::{ca_file, identity_key, server};

/// Makes or renews the first identities.
pub(crate) async fn run(options: InitOptions, output: Output) -> Result<(), Failure> {
    let data_dir = server::data_dir(options.store.data_dir.clone())?;
    let store = options.store.store.open(&data_dir).await?;
    let initialized = longshore_server::is_initialized(&*store).await;
    let initialized =
        initialized.map_err(|error| Failure::caused("cannot read the store", &error))?;
    if initialized && !options.reset_root {
        return Err(failed(&InitError::Done));
    }
    let (key, path) = if initialized && !options.forget_keys {
        (identity_key::existing(&options.key, &data_dir)?, None)
    } else {
        identity_key::find_or_make(&options.key, &data_dir)?
    };
    let made = if options.reset_root {
        longshore_server::reset_root(store, &key, options.account, options.forget_keys).await
    } else {
        longshore_server::initialize(store, &key, options.account).await
    };
    let made = made.map_err(|error| failed(&error))?;
    let authority = ca_file::keep(&data_dir, &made.certificate_authority)?;
    show(&made, options.account, output);
    output::note(&format!(
        "Where servers of this control plane listen beyond this machine, they speak TLS by an authority of \
         its own. Its certificate is {0}: give it to tools with --ca-file, and to AWS's with export \
         AWS_CA_BUNDLE={0}. Machines that join by a token get it with the token.",
        authority.display()
    ));
    if let Some(path) = path {
        output::note(&format!(
            "The identity key is in {}: secrets are sealed with it. Back it up apart from the store, and \
             give it to every server of this control plane.",
            path.display()
        ));
    }
    Ok(())
}

/// The first identities of a development server, unless it has them.
pub(crate) async fn first(
    store: &Arc<dyn Store>,
    key: &MasterKey,
    account: AccountId,
) -> Result<(), Failure> {
    match longshore_server::initialize(Arc::clone(store), key, account).await {
        Ok(_) | Err(InitError::Done) => Ok(()),
        Err(error) => Err(failed(&error)),
    }
}

fn show(made: &Initialized, account: AccountId, output: Output) {
    let Initialized { root, administrator, certificate_authority } = made;
    if output == Output::Json {
        let key = |key: &Keypair| json!({"accessKeyId": key.access_key_id, "secretAccessKey": key.secret_access_key});
        output::json(&json!({
            "account": account.to_string(),
            "root": key(root),
            "administrator": administrator.as_ref().map(key),
            "certificateAuthority": certificate_authority,
        }));
        return;
    }
    let exports = |key: &Keypair| key_exports(&key.access_key_id, &key.secret_access_key);
    output::line(&format!(
        "# Root of account {account}: keep it away, and use it for nothing else."
    ));
    if let Some(key) = administrator {
        output::line(&format!("# {}", exports(root)));
        output::line("# The first administrator, user admin:");
        output::line(&exports(key));
        output::note(
            "These keys are not shown again. Next: start the control plane with `longshore server`, \
                 make a user for each person and program with `aws iam create-user`, and delete the keys \
                 of root (`aws iam delete-access-key` with root's own key) once you have administrators.",
        );
    } else {
        output::line(&exports(root));
        output::note(
            "This key is not shown again; earlier keys of root are gone. Make a key for an \
                 administrator with it: aws iam create-access-key --user-name admin",
        );
    }
}

fn failed(error: &InitError) -> Failure {
    let failure = Failure::caused("cannot make the first identities", error);
    match error {
        InitError::Done => failure.fix(
            "use the keys that were made then; if they are lost, `longshore server init --reset-root` \
             makes a new key of root",
        ),
        InitError::NotDone => failure.fix("leave --reset-root out"),
        InitError::OtherKey => failure.fix(
            "name the key with --identity-key-file or --identity-key-command; if it is lost, \
             --reset-root --forget-keys removes all access keys and begins with a new one",
        ),
        _ => failure,
    }
}
