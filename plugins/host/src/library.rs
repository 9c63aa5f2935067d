//! Opens a library and reads its table. Used in the scanning child and in the server.

#![allow(unsafe_code)] // Loads code and reads the table that it returns.

use std::ffi::{c_char, c_void};
use std::path::Path;

use jnana_plugin_abi as abi;
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};

use crate::error::Error;
use crate::strings;

/// The functions of a plugin whose library stays loaded for as long as the process lives.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Functions {
    manifest: unsafe extern "C" fn() -> *const c_char,
    pub(crate) create: unsafe extern "C" fn(*const abi::Create, *mut *mut c_void) -> i32,
    pub(crate) destroy: unsafe extern "C" fn(*mut c_void),
    pub(crate) status: unsafe extern "C" fn(*mut c_void, *mut c_char, u64) -> u64,
    pub(crate) get_extension: unsafe extern "C" fn(*mut c_void, *const c_char) -> *const c_void,
}

impl Functions {
    /// The manifest's JSON.
    pub(crate) fn manifest(&self) -> Result<String, Error> {
        // SAFETY: the contract: [any-thread], a static string or NULL.
        unsafe { strings::copy((self.manifest)(), abi::MAX_MANIFEST) }
            .map_err(|reason| Error::Manifest { reason: format!("its text cannot be read: {reason}") })
    }
}

/// Loads a library, never to unload it: Rust code in it may have left destructors in thread-local storage, and C code
/// threads. Runs its constructors.
pub(crate) fn load(path: &Path) -> Result<Functions, Error> {
    let failed = |error: libloading::Error| Error::Load { reason: words(&error, path) };
    // SAFETY: runs the constructors of a library that the operator pinned and that survived the same in a child.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL) }.map_err(failed)?;
    let library = std::mem::ManuallyDrop::new(library);
    // SAFETY: the contract fixes the type of the symbol of this name.
    let entry = unsafe { library.get::<abi::EntryFn>(abi::ENTRY.to_bytes_with_nul()) }.map_err(|_| {
        let symbol = abi::ENTRY.to_string_lossy();
        Error::Load {
            reason: format!("it does not export {symbol}, so it is no plugin for ABI {}", abi::ABI_MAJOR),
        }
    })?;
    // SAFETY: the contract: [any-thread], a static table or NULL.
    let table = unsafe { entry(abi::ABI_MINOR) };
    // SAFETY: as above.
    unsafe { read_table(table) }
}

/// What the dynamic linker said, without libloading's own words and without a path that means nothing to people.
fn words(error: &libloading::Error, path: &Path) -> String {
    let words = std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string);
    words.replace(&format!("{}: ", path.display()), "")
}

/// # Safety
/// `table` is NULL, or readable for the bytes that its first field says.
unsafe fn read_table(table: *const abi::Plugin) -> Result<Functions, Error> {
    // SAFETY: said by the caller; `size` and the versions come first, for the rest may be missing.
    let Some(head) = (unsafe { table.cast::<[u32; 3]>().as_ref() }) else {
        return Err(Error::Abi {
            reason: "its entry returned no table: it cannot work with this host".to_owned(),
        });
    };
    let [size, major, minor] = *head;
    if major != abi::ABI_MAJOR {
        return Err(Error::Abi { reason: format!("its table says ABI {major}.{minor}") });
    }
    if size < abi::size_of::<abi::Plugin>() {
        let expected = abi::size_of::<abi::Plugin>();
        return Err(Error::Abi {
            reason: format!("expected a table of at least {expected} bytes, got {size}"),
        });
    }
    // SAFETY: the table is as large as it should be, and static.
    let table = unsafe { &*table };
    let missing = |name: &str| Error::Abi { reason: format!("its table has no function {name}") };
    Ok(Functions {
        manifest: table.manifest.ok_or_else(|| missing("manifest"))?,
        create: table.create.ok_or_else(|| missing("create"))?,
        destroy: table.destroy.ok_or_else(|| missing("destroy"))?,
        status: table.status.ok_or_else(|| missing("status"))?,
        get_extension: table.get_extension.ok_or_else(|| missing("get_extension"))?,
    })
}
