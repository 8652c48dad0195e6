// Commands: buttons, parameters, the steps to another bundle; each is shown in full and confirmed before it is sent.

const byId = (id) => document.getElementById(id);
// Those that have their own place on the page, and those that only ask.
const ELSEWHERE = ["set_parameter", "set_parameters", "set_mode", "load_bundle", "validate_bundle", "activate_bundle",
  "get_status", "get_parameters"];

export function makeElement(tag, text = "", className = "") {
  const element = document.createElement(tag);
  element.textContent = text;
  if (className) element.className = className;
  return element;
}

export class Controls {
  // ask: sends a command to the service, a promise of {result} or {error}.
  constructor(ask) {
    this.ask = ask;
    this.rows = new Map();
    this.schemas = {};
    this.effects = {};
    this.allowed = false;
    this.connected = false;
    byId("bundle-load").addEventListener("click", () => this.advanceBundle("load_bundle"));
    byId("bundle-validate").addEventListener("click", () => this.advanceBundle("validate_bundle"));
    byId("bundle-activate").addEventListener("click", () => this.advanceBundle("activate_bundle"));
  }

  build(commands, schemas) {
    this.schemas = schemas;
    this.effects = commands;
    this.allowed = Object.keys(commands).length > 0;
    byId("parameters").replaceChildren();
    this.rows.clear();
    byId("commands").replaceChildren();
    for (const [name, { effect }] of Object.entries(commands)) {
      if (ELSEWHERE.includes(name)) continue;
      const button = makeElement("button", name);
      button.type = "button";
      button.title = effect;
      button.id = `command-${name}`;
      button.addEventListener("click", () => this.confirm(name, {}));
      byId("commands").append(button);
    }
    if (!this.allowed) byId("commands").textContent = "This console was started to show only.";
    this.enable(this.connected);
  }

  // Commands are off while there is nobody to take them.
  enable(connected) {
    this.connected = connected;
    for (const element of document.querySelectorAll("#commands button, #parameters button, #bundle-load")) {
      element.disabled = !connected || !this.allowed;
    }
  }

  async confirm(name, args) {
    byId("confirm-text").textContent = `Send this command? It will: ${this.effects[name]?.effect ?? name}.`;
    const words = Object.entries(args).map(([key, value]) => `${key}=${JSON.stringify(value)}`);
    byId("confirm-command").textContent = [name, ...words].join(" ");
    const dialog = byId("confirm");
    dialog.returnValue = "cancel";
    dialog.showModal();
    await new Promise((resolve) => dialog.addEventListener("close", resolve, { once: true }));
    if (dialog.returnValue !== "send") {
      this.tell(`${name}: not sent`, false);
      return null;
    }
    this.tell(`${name}: sent, waiting for the reply`, false);
    const reply = await this.ask(name, args);
    if (reply.error !== undefined) {
      this.tell(reply.error.startsWith(name) ? reply.error : `${name}: ${reply.error}`, true);
      return null;
    }
    this.tell(`${name}: done ${JSON.stringify(reply.result)}`, false);
    return reply.result;
  }

  tell(text, failed) {
    byId("answer").textContent = text;
    byId("answer").classList.toggle("failed", failed);
  }

  async advanceBundle(name) {
    const steps = ["load_bundle", "validate_bundle", "activate_bundle"];
    const buttons = ["bundle-load", "bundle-validate", "bundle-activate"].map(byId);
    const at = steps.indexOf(name);
    const path = byId("bundle-path").value.trim();
    if (at === 0 && path === "") {
      byId("bundle-path").focus();
      return;
    }
    buttons.slice(1).forEach((button) => (button.disabled = true));
    const notes = [...document.querySelectorAll("#bundle li > span")];
    notes.slice(at).forEach((note) => (note.textContent = ""));
    const result = await this.confirm(name, at === 0 ? { path } : {});
    if (result === null) {
      if (at > 0) buttons[at].disabled = false;
      return;
    }
    const agreement = result.agreement === undefined ? "" : `, agreement ${result.agreement}`;
    notes[at].textContent = `✓ ${result.name ?? ""} ${result.version ?? ""} ${result.sha256 ?? ""}${agreement}`;
    if (at + 1 < steps.length) {
      buttons[at + 1].disabled = false;
      buttons[at + 1].focus();
    }
  }

  showParameters(values) {
    for (const [name, value] of Object.entries(values)) {
      const row = this.rows.get(name) ?? this.addParameter(name);
      const text = typeof value === "string" ? value : JSON.stringify(value);
      if (row.now.textContent !== text) row.now.textContent = text;
      if (document.activeElement !== row.input && !row.edited) row.input.value = text;
    }
  }

  addParameter(name) {
    const schema = this.schemas[name] ?? {};
    const line = document.createElement("tr");
    const now = makeElement("td");
    const cell = makeElement("td", "", "set");
    const choices = schema.enum ?? (schema.type === "boolean" ? [true, false] : null);
    const input = document.createElement(choices ? "select" : "input");
    for (const choice of choices ?? []) input.append(makeElement("option", String(choice)));
    input.setAttribute("aria-label", name);
    input.id = `parameter-${name}`;
    const button = makeElement("button", "Set");
    button.type = "button";
    button.disabled = !this.connected || !this.allowed;
    const row = { now, input, edited: false };
    const send = async () => {
      const value = this.readValue(schema, input.value);
      row.edited = false;
      await (name === "mode" ? this.confirm("set_mode", { mode: value }) : this.confirm("set_parameter", { name, value }));
    };
    input.addEventListener("input", () => (row.edited = true));
    input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && !button.disabled) {
        event.preventDefault(); // the same key would press the button of the dialog that opens
        send();
      }
      if (event.key === "Escape") {
        row.edited = false;
        input.blur(); // back to the keys of the page
      }
    });
    button.addEventListener("click", send);
    cell.append(input, " ", button);
    const title = makeElement("td", name);
    const range = schema.minimum === undefined ? "" : ` (${schema.minimum}..${schema.maximum})`;
    if (schema.description) title.append(makeElement("div", schema.description + range, "about"));
    line.append(title, now, cell);
    byId("parameters").append(line);
    this.rows.set(name, row);
    return row;
  }

  // What was typed as a value of the parameter's type; the service says what is wrong with it.
  readValue(schema, text) {
    if (schema.type === "boolean") return text === "true";
    if (schema.type === "integer" || schema.type === "number") {
      const value = Number(text);
      return text.trim() === "" || Number.isNaN(value) ? text : value;
    }
    return text;
  }
}
