// The page of `mdtranslate serve`. The server keeps nothing: a picture goes along with every question about it.

import { answered, held, newest, pairs, table } from "./ask.js";

const $ = (id) => document.getElementById(id);

let model; // What there is to choose from, as /api/model says.
let picture = null; // {blob, name}: what is translated.
let chosen = 0; // How often one was chosen: of several that are on their way the newest counts.
let told = table(); // What is known of it: of a test picture, or said by the visitor.
let source = table(); // What it has: `told`, and what was inferred.
let required = []; // Attributes that cannot be inferred.
let edits = table(); // What the visitor changed.

function make(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// A name that can go on in the next line after each of its parts.
const breakable = (text) => text.split(/(?<=[=_.,])/).flatMap((part) => [part, make("wbr")]);

function fail(message) {
  $("error").textContent = message;
  $("error").hidden = !message;
}

async function ask(what, words, blob) {
  const query = new URLSearchParams(words);
  if ($("dataset").value) query.append("dataset", $("dataset").value);
  return (await answered(`api/${what}?${query}`, { method: "POST", body: blob })).json();
}

let busy = 0; // Kinds of questions that wait for an answer.

function wait(more) {
  busy += more;
  $("says").textContent = busy ? "working …" : "";
}

// Answers about another image are discarded.
const asking = (work) => newest(() => picture, work, wait, (error) => fail(error.message));

const inspect = asking(async (stale) => {
  let answer;
  try {
    answer = await ask("inspect", pairs("from", told), picture.blob);
  } catch (error) {
    $("work").hidden = $("every").hidden = true; // What they show is of another picture.
    throw error;
  }
  if (stale()) return;
  source = table(answer.source);
  required = answer.required;
  fail("");
  $("original").src = answer.original;
  $("work").hidden = $("every").hidden = false;
  refresh();
  translate();
  all();
});

const translate = asking(async (stale) => {
  const changes = changed();
  if (Object.keys(changes).length === 0) {
    showNothing();
    return;
  }
  const answer = await ask("translate", [...pairs("set", changes), ...pairs("from", source)], picture.blob);
  if (stale()) return;
  fail("");
  const edit = Object.entries(changes).map((pair) => pair.join("=")).join(", ");
  $("original").src = answer.original;
  $("translated").src = answer.translated;
  $("translated").alt = `The image with ${edit}`;
  $("translated").hidden = $("download").hidden = false;
  $("nothing").hidden = true;
  $("edit").replaceChildren(...breakable(edit));
  save($("download"), answer.translated, edit.replaceAll(", ", ","));
});

function showNothing() {
  $("translated").hidden = $("download").hidden = true;
  $("nothing").hidden = false;
  $("edit").textContent = "Translation";
}

// One by one: what the visitor asks for meanwhile waits for one edit at most.
const all = asking(async (stale) => {
  $("later").hidden = required.length === 0;
  const slots = required.length ? [] : singles().map(slot);
  $("strip").replaceChildren(...slots.map(({ link }) => link));
  for (const { edit, link, image } of slots) {
    const answer = await ask("translate", [["set", edit], ...pairs("from", source)], picture.blob);
    if (stale()) return;
    image.src = answer.translated;
    save(link, answer.translated, edit);
  }
});

// Every change of one attribute: each value, or the opposite of what is yes or no.
function singles() {
  const like = $("dataset").value;
  return model.controls
    .filter(({ datasets }) => !like || datasets.includes(like))
    .flatMap(({ name, edits, is_binary: yesNo }) =>
      edits.filter((value) => !yesNo || value !== source[name]).map((value) => `${name}=${value}`),
    );
}

function slot(edit) {
  const image = make("img", { alt: "" });
  const caption = make("span", {}, ...breakable(edit));
  return { edit, image, link: make("a", { title: `Download ${edit}` }, image, caption) };
}

function save(link, address, edit) {
  link.href = address;
  link.download = `${picture.name}.${edit}.png`;
  return link;
}

// Of the edits those that differ from what the picture has.
function changed() {
  return table(Object.fromEntries(Object.entries(edits).filter(([name, value]) => value !== source[name])));
}

// `place`: of the test picture that it is.
async function use(file, name, known = {}, place = -1) {
  const own = ++chosen;
  const blob = await held(file, name, model.max_bytes).catch((error) => own === chosen && fail(error.message));
  if (!blob || own !== chosen) return;
  picture = { blob, name: name.replace(/\.\w+$/, "").replace(/[^\p{L}\p{N}_.-]+/gu, "-") };
  told = table(known);
  source = table();
  required = [];
  edits = table();
  for (const each of $("samples").children) each.ariaPressed = Number(each.value) === place;
  showNothing();
  inspect();
}

async function useSample(place) {
  const own = ++chosen;
  const { key, known } = model.samples[place];
  try {
    const blob = await (await answered(`api/samples/${place}`)).blob();
    if (own === chosen) use(blob, key, known, place);
  } catch (error) {
    if (own === chosen) fail(error.message);
  }
}

// A control: what the picture has, which can be corrected, and what it becomes.
function control({ name, values, is_binary: yesNo, datasets }) {
  const is = make("select", { ariaLabel: `Source value of ${name}` });
  is.append(...["", ...values].map((value) => make("option", { value }, value || "unknown")));
  is.addEventListener("change", () => {
    if (is.value) told[name] = is.value;
    else delete told[name];
    inspect();
  });
  const set = (value) => {
    edits[name] = value;
    refresh();
    translate();
  };
  const state = make("span");
  let inputs, shown;
  if (yesNo) {
    inputs = [make("input", { type: "checkbox", role: "switch", ariaLabel: name })];
    inputs[0].addEventListener("change", () => set(inputs[0].checked ? "yes" : "no"));
    shown = [make("label", { className: "switch" }, inputs[0], state)];
  } else {
    inputs = values.map((value) => make("input", { type: "radio", name, value }));
    for (const each of inputs) each.addEventListener("change", () => set(each.value));
    shown = inputs.map((each) => make("label", { className: "pill" }, each, each.value));
  }
  const label = make("label", { className: "is" }, "is", is);
  const become = make("div", { className: "values" }, ...shown);
  const legend = make("legend", {}, ...breakable(name));
  const box = make("fieldset", { className: yesNo ? "yes-no" : "" }, legend, label, become);
  const draw = () => {
    const value = edits[name] ?? source[name];
    is.value = source[name] ?? "";
    box.classList.toggle("asked", required.includes(name));
    box.classList.toggle("changed", name in changed());
    for (const each of inputs) {
      each.disabled = required.length > 0 && datasets.some((own) => waits(own));
      each.checked = yesNo ? value === "yes" : value === each.value;
      if (yesNo) each.indeterminate = value === undefined;
    }
    state.textContent = value ?? "unchanged";
  };
  return { box, draw };
}

// Whether something must be said of a picture before edits of this dataset can be made.
const waits = (dataset) =>
  model.controls.some(({ name, datasets }) => required.includes(name) && datasets.includes(dataset));

let controls = [];

function refresh() {
  for (const each of controls) each.draw();
  $("reset").disabled = Object.keys(changed()).length === 0;
  $("ask").hidden = required.length === 0;
  $("ask").textContent = `This model cannot infer these attributes of the image; set them: ${required.join(", ")}.`;
  $("nothing").textContent = required.length
    ? "Set the attributes of the image first."
    : "Change a value to see the result here.";
}

function showInfo({ facts, evaluations, note }) {
  $("facts").append(...facts.flatMap(([name, text]) => [make("dt", {}, name), make("dd", {}, text)]));
  const share = (value) => (value === null ? "" : `${(100 * value).toFixed(1)} %`);
  for (const { dataset, images, rows } of evaluations) {
    const line = (tag, cells) => make("tr", {}, ...cells.map((text) => make(tag, {}, text)));
    const caption = `${dataset}: ${images} test images, accuracy of an independent attribute classifier`;
    const head = make("thead", {}, line("th", ["attribute", "real images", "edited images"]));
    const body = rows.map(([name, real, edited]) => line("td", [name, share(real), share(edited)]));
    $("judged").append(make("table", {}, make("caption", {}, caption), head, make("tbody", {}, ...body)));
  }
  $("note").textContent = note;
}

function showControls() {
  const several = model.datasets.length > 1;
  let last = "";
  for (const each of model.controls) {
    const of = each.datasets.join(" and ");
    if (several && of !== last) $("controls").append(make("h3", {}, `of ${of}`));
    last = of;
    const made = control(each);
    controls.push(made);
    $("controls").append(made.box);
  }
  $("like").hidden = !several;
  $("dataset").append(...model.datasets.map((name) => make("option", { value: name }, name)));
}

function showSamples() {
  const several = model.datasets.length > 1;
  model.samples.forEach(({ key, dataset }, place) => {
    const title = several ? `${key} of ${dataset}` : key;
    const image = make("img", { src: `api/samples/${place}`, alt: title });
    const button = make("button", { type: "button", value: place, title }, image);
    button.addEventListener("click", () => useSample(place));
    $("samples").append(button);
  });
  $("missing").textContent = model.missing_samples.join(" ");
}

function listen() {
  $("file").addEventListener("change", () => {
    const [file] = $("file").files;
    if (file) use(file, file.name);
    $("file").value = ""; // So that the same file can be chosen again.
  });
  $("dataset").addEventListener("change", () => inspect());
  $("reset").addEventListener("click", () => {
    edits = table();
    refresh();
    translate();
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", (event) => {
    if (!event.relatedTarget) document.body.classList.remove("dropping");
  });
  addEventListener("drop", (event) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const [file] = event.dataTransfer.files;
    if (file) use(file, file.name);
    else fail("This is not a file: save the image, and drop the saved file.");
  });
}

function begin() {
  const recipe = model.info.facts.find(([name]) => name === "Recipe");
  $("recipe").textContent = recipe ? recipe[1] : "";
  showInfo(model.info);
  showControls();
  showSamples();
  listen();
  if (model.samples.length) useSample(0);
}

try {
  model = await (await answered("api/model")).json();
} catch (error) {
  fail(error.message);
}
if (model) begin();
