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
