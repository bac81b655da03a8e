// Reading the AsyncAPI document: what its references stand for, who sends a frame, what a schema says.

export class Document {
  constructor(json) {
    this.json = json;
  }

  /** What `{ $ref }` stands for. */
  resolve(node) {
    let here = node;
    while (here?.$ref) {
      here = here.$ref.slice(2).split('/').reduce((at, key) => at?.[key], this.json);
    }
    return here;
  }

  /** The dialects, each with the frames of both sides. */
  dialects() {
    return Object.entries(this.json.channels).map(([name, channel]) => {
      const frames = Object.entries(channel.messages).map(([key, reference]) => ({
        key,
        isFromClient: key.split('.').includes('client'),
        ...this.resolve(reference),
      }));
      return {
        name,
        ...channel,
        sent: frames.filter((frame) => frame.isFromClient),
        heard: frames.filter((frame) => !frame.isFromClient),
      };
    });
  }

  /** What kind of value a schema asks for, in a few words. */
  typeOf(schema) {
    const { $ref: reference } = schema ?? {};
    const it = this.resolve(schema) ?? {};
    if (it.const !== undefined) return JSON.stringify(it.const);
    if (it.enum) return it.enum.map((value) => JSON.stringify(value)).join(' or ');
    const either = it.oneOf ?? it.anyOf;
    if (either) return either.map((one) => this.typeOf(one)).join(' or ');
    if (it.type === 'array') return `array of ${this.typeOf(it.items ?? {})}`;
    if (Array.isArray(it.type)) return it.type.join(' or ');
    const name = reference?.split('/').at(-1);
    return it.type === 'object' && name ? name : (it.type ?? 'any value');
  }

  /** The keys of a frame, those of all its parts together. */
  keys(schema) {
    const it = this.resolve(schema) ?? {};
    const own = Object.entries(it.properties ?? {}).map(([name, property]) => ({
      name,
      type: this.typeOf(property),
      isRequired: it.required?.includes(name) ?? false,
      text: property.description ?? this.resolve(property)?.description,
    }));
    const parts = (it.allOf ?? []).flatMap((part) => this.keys(part));
    const all = new Map();
    for (const key of [...parts, ...own]) all.set(key.name, { ...key, isRequired: key.isRequired || all.get(key.name)?.isRequired });
    for (const name of it.required ?? []) if (all.has(name)) all.get(name).isRequired = true;
    return [...all.values()];
  }
}
