// Questions to the server.

// What the server answers. Throws an error of one line.
export async function answered(path, options) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Error("The server does not answer: start mdtranslate serve again.");
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({})); // A server that is being ended says nothing.
  throw new Error(said.error ?? `The server does not answer (${answer.status}).`);
}

// A table by names of attributes. They may be called like what every other object has: `constructor`.
export const table = (entries = {}) => Object.assign(Object.create(null), entries);

// What a file holds now: one that changes on the disk could not be asked about again. Throws an error of one line.
export async function held(file, name, largest) {
  if (file.size > largest) {
    throw new Error(`${name} has ${(file.size / 1e6).toFixed(1)} MB; at most ${largest / 1e6} MB are allowed.`);
  }
  try {
    return new Blob([await file.arrayBuffer()], { type: file.type });
  } catch {
    throw new Error(`${name} cannot be read.`);
  }
}

export const pairs = (word, values) => Object.entries(values).map(([name, value]) => [word, `${name}=${value}`]);

// Of questions of one kind one is asked at a time, and of those that come meanwhile only the newest. `stale` tells the
// work that its answer has become worthless: there is a newer question, or `about` gives something else than before.
export function newest(about, work, wait, failed) {
  let running = false;
  let again = false;
  return async () => {
    again = true;
    if (running) return;
    running = true;
    wait(1);
    while (again) {
      again = false;
      const own = about();
      const stale = () => again || own !== about();
      try {
        await work(stale);
      } catch (error) {
        if (!stale()) failed(error);
      }
    }
    running = false;
    wait(-1);
  };
}
