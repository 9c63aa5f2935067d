//! `jnana admin`.

use anyhow::Result;

use crate::admin;
use crate::cli::Admin;

pub(super) fn run(command: Admin) -> Result<()> {
    match command {
        Admin::Token { given } => {
            let home = given.resolve()?.home;
            let (admin, fresh) = admin::Admin::open(&home)?;
            let token = match fresh {
                Some(token) => token,
                None => admin.renew()?,
            };
            // Alone on standard output, so that a script can take it.
            println!("{}", token.reveal());
            eprintln!("That is the admin token of {}. It is not shown again.", home.display());
        }
    }
    Ok(())
}
