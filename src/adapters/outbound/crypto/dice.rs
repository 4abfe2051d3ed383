//! A pseudo-random source for the tests beside it, the same on each run, and what it does to texts.

/// SplitMix64.
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % limit as u64).unwrap()
    }

    /// The text with something put in, taken out, exchanged or moved, so that it is another one.
    pub(super) fn mutate(&mut self, text: &str) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \n";
        let mut mutated: Vec<u8> = text.bytes().collect();
        while mutated == text.as_bytes() {
            for _ in 0..=self.below(3) {
                let at = self.below(mutated.len());
                let other = ALPHABET[self.below(ALPHABET.len())];
                match self.below(5) {
                    0 => mutated[at] = other,
                    1 => mutated.insert(at, other),
                    2 if mutated.len() > 1 => drop(mutated.remove(at)),
                    3 => mutated.truncate(at.max(1)),
                    _ => {
                        let with = self.below(mutated.len());
                        mutated.swap(at, with);
                    }
                }
            }
        }
        String::from_utf8(mutated).unwrap()
    }
}
