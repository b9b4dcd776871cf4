//! The control flow graph and where its branches meet again.

use super::instruction::{Flow, Instruction, Label};

/// A function cut into basic blocks.
pub(crate) struct Graph {
    /// Instructions without label marks.
    pub code: Vec<Instruction>,
    /// The first instruction of each block, and after the last the end.
    pub starts: Vec<usize>,
    pub successors: Vec<Vec<usize>>,
    /// The block at which all ways out of this one meet again.
    pub meets: Vec<Option<usize>>,
    label_blocks: Vec<usize>,
}

impl Graph {
    pub fn new(marked: Vec<Instruction>) -> Graph {
        let (code, starts, label_blocks) = cut(marked);
        let successors = successors(&code, &starts, &label_blocks);
        let meets = post_dominators(&successors);
        Graph {
            code,
            starts,
            successors,
            meets,
            label_blocks,
        }
    }

    pub fn blocks(&self) -> usize {
        self.successors.len()
    }

    pub fn range(&self, block: usize) -> std::ops::Range<usize> {
        self.starts[block]..self.starts[block + 1]
    }

    /// The first instruction behind a label.
    pub fn position(&self, label: Label) -> usize {
        self.starts[self.label_blocks[label as usize]]
    }
}

/// Removes label marks. A mark that control runs into becomes the operation that counts its block and lets lanes meet.
fn cut(marked: Vec<Instruction>) -> (Vec<Instruction>, Vec<usize>, Vec<usize>) {
    let mut code: Vec<Instruction> = Vec::with_capacity(marked.len());
    let mut starts = vec![0];
    let mut label_blocks = Vec::new();
    for mut instruction in marked {
        let Flow::Label(label) = instruction.flow else {
            let ends = instruction.flow != Flow::Next;
            code.push(instruction);
            if ends {
                starts.push(code.len());
            }
            continue;
        };
        if starts.last() != Some(&code.len()) {
            instruction.flow = Flow::Next;
            code.push(instruction);
            starts.push(code.len());
        }
        let label = label as usize;
        if label_blocks.len() <= label {
            label_blocks.resize(label + 1, 0);
        }
        label_blocks[label] = starts.len() - 1;
    }
    if starts.last() != Some(&code.len()) {
        starts.push(code.len());
    }
    (code, starts, label_blocks)
}

fn successors(code: &[Instruction], starts: &[usize], label_blocks: &[usize]) -> Vec<Vec<usize>> {
    let blocks = starts.len() - 1;
    let block_of = |label: &Label| label_blocks[*label as usize];
    (0..blocks)
        .map(|block| {
            let next = block + 1;
            let mut list = match &code[starts[next] - 1].flow {
                Flow::Next | Flow::Label(_) | Flow::Call(_) => vec![next],
                Flow::Jump(label) => vec![block_of(label)],
                Flow::Branch(label) => vec![block_of(label), next],
                Flow::Switch(labels) => labels.iter().map(block_of).collect(),
                Flow::Leave => Vec::new(),
            };
            list.retain(|&to| to < blocks);
            list
        })
        .collect()
}

/// Immediate post-dominators (Cooper, Harvey and Kennedy's algorithm on the reversed graph). None for blocks whose ways
/// only meet outside the function, or that never leave it.
fn post_dominators(successors: &[Vec<usize>]) -> Vec<Option<usize>> {
    let blocks = successors.len();
    let exit = blocks;
    let mut predecessors = vec![Vec::new(); blocks + 1];
    for (block, list) in successors.iter().enumerate() {
        if list.is_empty() {
            predecessors[exit].push(block);
        }
        for &to in list {
            predecessors[to].push(block);
        }
    }
    let order = post_order(&predecessors, exit);
    let mut number = vec![usize::MAX; blocks + 1];
    for (at, &block) in order.iter().enumerate() {
        number[block] = at;
    }
    let mut dominator = vec![usize::MAX; blocks + 1];
    dominator[exit] = exit;
    let mut changed = true;
    while changed {
        changed = false;
        for &block in order.iter().rev().filter(|&&block| block != exit) {
            let ways = if successors[block].is_empty() {
                &[exit][..]
            } else {
                &successors[block]
            };
            let mut meet = usize::MAX;
            for &way in ways.iter().filter(|&&way| dominator[way] != usize::MAX) {
                meet = if meet == usize::MAX {
                    way
                } else {
                    intersect(&dominator, &number, meet, way)
                };
            }
            if meet != usize::MAX && dominator[block] != meet {
                dominator[block] = meet;
                changed = true;
            }
        }
    }
    (0..blocks)
        .map(|block| Some(dominator[block]).filter(|&meet| meet < blocks))
        .collect()
}

fn intersect(dominator: &[usize], number: &[usize], mut a: usize, mut b: usize) -> usize {
    while a != b {
        while number[a] < number[b] {
            a = dominator[a];
        }
        while number[b] < number[a] {
            b = dominator[b];
        }
    }
    a
}

fn post_order(edges: &[Vec<usize>], root: usize) -> Vec<usize> {
    let mut seen = vec![false; edges.len()];
    let mut order = Vec::with_capacity(edges.len());
    let mut stack = vec![(root, 0)];
    seen[root] = true;
    while let Some((block, at)) = stack.last_mut() {
        match edges[*block].get(*at) {
            Some(&next) => {
                *at += 1;
                if !seen[next] {
                    seen[next] = true;
                    stack.push((next, 0));
                }
            }
            None => {
                order.push(*block);
                stack.pop();
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::post_dominators;

    #[test]
    fn ways_of_an_if_meet_behind_it() {
        assert_eq!(
            post_dominators(&[vec![1, 2], vec![3], vec![3], vec![]]),
            [Some(3), Some(3), Some(3), None]
        );
    }

    #[test]
    fn ways_of_a_loop_meet_behind_it() {
        assert_eq!(
            post_dominators(&[vec![1], vec![1, 2], vec![]]),
            [Some(1), Some(2), None]
        );
    }

    #[test]
    fn two_exits_never_meet() {
        assert_eq!(
            post_dominators(&[vec![1, 2], vec![], vec![]]),
            [None, None, None]
        );
    }

    #[test]
    fn an_endless_loop_meets_nowhere() {
        assert_eq!(
            post_dominators(&[vec![1, 2], vec![1], vec![]]),
            [Some(2), None, None]
        );
    }
}
