/** Cuts a stream of bytes into lines, whatever pieces it comes in. */
export interface LineSplitter {
  /** The lines that `chunk` completes, without their ends; undefined once a line is longer than the limit. */
  push(chunk: Uint8Array): readonly string[] | undefined;
}

/** `maxBytes` bounds one line and so what a peer can make us hold. */
export function lineSplitter(maxBytes: number): LineSplitter {
  const decoder = new TextDecoder();
  let held: Uint8Array[] = [];
  let heldBytes = 0;
  let broken = false;

  const finish = (tail: Uint8Array): string => {
    const line = new Uint8Array(heldBytes + tail.length);
    let at = 0;
    for (const piece of [...held, tail]) {
      line.set(piece, at);
      at += piece.length;
    }
    held = [];
    heldBytes = 0;
    return decoder.decode(line);
  };

  return {
    push(chunk) {
      const lines: string[] = [];
      let rest = chunk;
      while (!broken) {
        const end = rest.indexOf(0x0a);
        broken = heldBytes + (end === -1 ? rest.length : end) > maxBytes;
        if (broken || end === -1) break;
        lines.push(finish(rest.subarray(0, end)));
        rest = rest.subarray(end + 1);
      }
      if (broken) return undefined;
      if (rest.length > 0) {
        held.push(rest.slice());
        heldBytes += rest.length;
      }
      return lines;
    },
  };
}
