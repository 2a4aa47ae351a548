/** Names and values of files that others wrote stand in messages, where none may steer a terminal or hide what follows. */
export function visible(text: string): string {
  return text.replace(/[^\P{C}\n]/gu, "?");
}

/** The same of a name, which begins no line either. */
export function visibleName(name: string): string {
  return name.replace(/\p{C}/gu, "?");
}
