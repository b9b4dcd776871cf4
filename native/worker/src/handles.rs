//! Tables from the client's handles to the driver's. The client chooses dense numbers; nothing it chooses is trusted.

use aquifer_cuda::*;

/// Handles of one class that a session may have at once.
pub const MAX_HANDLES: u32 = 65_536;

/// Entries by the number that the client chose.
pub struct Table<T> {
    entries: Vec<Option<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Table<T> {
        Table {
            entries: Vec::new(),
        }
    }
}

impl<T> Table<T> {
    /// The entry `id`, if there is one.
    #[inline]
    pub fn get(&self, id: u32) -> Option<&T> {
        self.entries.get(id as usize).and_then(Option::as_ref)
    }

    /// The entry `id`, to be changed.
    #[inline]
    pub fn get_mut(&mut self, id: u32) -> Option<&mut T> {
        self.entries.get_mut(id as usize).and_then(Option::as_mut)
    }

    /// Whether `id` can be given to a new entry: INVALID_HANDLE when it is taken, OUT_OF_MEMORY beyond the most.
    pub fn check_free(&self, id: u32) -> Result<(), CUresult> {
        match id {
            MAX_HANDLES.. => Err(CUDA_ERROR_OUT_OF_MEMORY),
            _ if self.get(id).is_some() => Err(CUDA_ERROR_INVALID_HANDLE),
            _ => Ok(()),
        }
    }

    /// Puts an entry at an id that `check_free` allowed.
    pub fn insert(&mut self, id: u32, entry: T) {
        let at = id as usize;
        if self.entries.len() <= at {
            self.entries.resize_with(at + 1, || None);
        }
        self.entries[at] = Some(entry);
    }

    /// Takes the entry `id` out.
    pub fn remove(&mut self, id: u32) -> Option<T> {
        self.entries.get_mut(id as usize).and_then(Option::take)
    }

    /// All entries with their ids.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        self.entries
            .iter_mut()
            .enumerate()
            .filter_map(|(id, entry)| Some((id as u32, entry.as_mut()?)))
    }

    /// All entries.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.entries
            .iter()
            .enumerate()
            .filter_map(|(id, entry)| Some((id as u32, entry.as_ref()?)))
    }

    /// Takes out all entries that `gone` says are no more.
    pub fn drain_if(&mut self, gone: impl Fn(&T) -> bool) -> Vec<T> {
        self.entries
            .iter_mut()
            .filter(|it| it.as_ref().is_some_and(&gone))
            .filter_map(Option::take)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_checked() {
        let mut table = Table::default();
        assert_eq!(table.check_free(MAX_HANDLES), Err(CUDA_ERROR_OUT_OF_MEMORY));
        assert_eq!(table.check_free(u32::MAX), Err(CUDA_ERROR_OUT_OF_MEMORY));
        table.check_free(7).unwrap();
        table.insert(7, 'x');
        assert_eq!(table.check_free(7), Err(CUDA_ERROR_INVALID_HANDLE));
        assert_eq!(
            (table.get(7), table.get(6), table.get(u32::MAX)),
            (Some(&'x'), None, None)
        );
        assert_eq!(table.remove(7), Some('x'));
        assert_eq!((table.remove(7), table.remove(u32::MAX)), (None, None));
    }
}
