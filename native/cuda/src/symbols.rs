//! Versioned look-up of driver entry points, as `cuGetProcAddress` and `cuGetProcAddress_v2` define it.

use crate::symbol_table::TABLE;

/// One meaning of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// What a program asks for, without a version suffix.
    pub name: &'static str,
    /// The CUDA version (major * 1000 + minor * 10) from which on the name means this symbol.
    pub since: u32,
    /// The exported symbol.
    pub symbol: &'static str,
    /// True where the default stream of this variant is the calling thread's own.
    pub per_thread: bool,
}

/// What a look-up found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    Found(&'static Symbol),
    /// The name exists, but only in later versions than the one asked for.
    VersionNotSufficient,
    NotFound,
}

/// Every symbol, sorted by name and version.
pub fn all() -> &'static [Symbol] {
    TABLE
}

/// The highest symbol for `name` that is not above `version`. With `per_thread` a variant for the calling thread's
/// default stream is preferred where there is one. A name that carries its suffix (`cuMemAlloc_v2`) is taken literally.
pub fn look_up(name: &str, version: u32, per_thread: bool) -> Lookup {
    let start = TABLE.partition_point(|row| row.name < name);
    let length = TABLE[start..].partition_point(|row| row.name == name);
    let rows = &TABLE[start..start + length];
    if rows.is_empty() {
        return match TABLE.iter().find(|row| row.symbol == name) {
            Some(row) if row.since <= version => Lookup::Found(row),
            Some(_) => Lookup::VersionNotSufficient,
            None => Lookup::NotFound,
        };
    }
    let highest = |wanted: bool| {
        rows.iter()
            .rev()
            .find(|row| row.since <= version && row.per_thread == wanted)
    };
    let found = if per_thread {
        highest(true).or_else(|| highest(false))
    } else {
        highest(false)
    };
    match found {
        Some(row) => Lookup::Found(row),
        None => Lookup::VersionNotSufficient,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbol(name: &str, version: u32, per_thread: bool) -> &'static str {
        match look_up(name, version, per_thread) {
            Lookup::Found(row) => row.symbol,
            Lookup::VersionNotSufficient => "version",
            Lookup::NotFound => "none",
        }
    }

    #[test]
    fn table_is_sorted_so_that_binary_search_holds() {
        assert!(TABLE.is_sorted_by_key(|row| (row.name, row.since)));
    }

    #[test]
    fn look_up_takes_the_highest_version_not_above_the_one_asked_for() {
        assert_eq!(symbol("cuMemAlloc", 12000, false), "cuMemAlloc_v2");
        assert_eq!(symbol("cuMemAlloc", 3000, false), "cuMemAlloc");
        assert_eq!(symbol("cuCtxGetDevice", 12080, false), "cuCtxGetDevice");
        assert_eq!(symbol("cuCtxGetDevice", 13000, false), "cuCtxGetDevice_v2");
        assert_eq!(symbol("cuCtxCreate", 13000, false), "cuCtxCreate_v4");
        assert_eq!(symbol("cuCtxCreate", 11050, false), "cuCtxCreate_v3");
        assert_eq!(symbol("cuMemAdvise", 12010, false), "cuMemAdvise");
        assert_eq!(
            symbol("cuGetProcAddress", 12000, false),
            "cuGetProcAddress_v2"
        );
    }

    #[test]
    fn look_up_honours_the_per_thread_flag() {
        assert_eq!(symbol("cuMemcpyHtoD", 13000, true), "cuMemcpyHtoD_v2_ptds");
        assert_eq!(symbol("cuMemcpyHtoD", 6000, true), "cuMemcpyHtoD_v2");
        assert_eq!(symbol("cuLaunchKernel", 13000, true), "cuLaunchKernel_ptsz");
        assert_eq!(symbol("cuLaunchKernel", 13000, false), "cuLaunchKernel");
        assert_eq!(symbol("cuCtxGetDevice", 12000, true), "cuCtxGetDevice");
    }

    #[test]
    fn look_up_tells_an_unknown_name_from_one_that_comes_later() {
        assert_eq!(
            look_up("cuLibraryLoadData", 11000, false),
            Lookup::VersionNotSufficient
        );
        assert_eq!(look_up("cuNoSuchThing", 13000, false), Lookup::NotFound);
        assert_eq!(look_up("", 0, false), Lookup::NotFound);
    }
}
