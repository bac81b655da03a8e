// What components are written with.

export { Component, createContext, html, render, useContext, useEffect, useLayoutEffect, useMemo, useRef, useState } from '../../vendor/preact-htm.js';
import { createContext, useContext, useLayoutEffect, useState } from '../../vendor/preact-htm.js';

const Page = createContext(null);
export const StoreProvider = Page.Provider;

/** The store; the component is drawn anew when something in it changed. */
export function useStore() {
  const store = useContext(Page);
  const [, draw] = useState(0);
  // Before anything is painted: what happens until then would be missed.
  useLayoutEffect(() => store.onChange(() => draw((count) => count + 1)), [store]);
  return store;
}
