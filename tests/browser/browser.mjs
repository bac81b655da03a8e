// Chromium, and what its pages must never do: break the policy, throw, ask another host.

import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { readFile } from 'node:fs/promises';
import { chromium } from 'playwright-core';

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];
/** Only a failure waits this long. */
const PATIENCE = 30_000;
const AXE = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGUMENTS });
}

/** A browser of somebody's own: signed in as `person`, or as nobody. */
export async function openPage(browser, { url, person, path = '/', width = 1280, height = 800, scheme = 'light', locale = 'en-GB', isPhone = width < 600 }) {
  const context = await browser.newContext({
    viewport: { width, height },
    colorScheme: scheme,
    locale,
    hasTouch: isPhone,
    isMobile: isPhone,
    reducedMotion: 'reduce',
  });
  context.setDefaultTimeout(PATIENCE);
  const wrong = [];
  await context.exposeBinding('tellOfViolation', (_, text) => wrong.push(`policy: ${text}`));
  await context.addInitScript((tokens) => {
    addEventListener('securitypolicyviolation', (event) => window.tellOfViolation(`${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
    if (tokens && !sessionStorage.getItem('begun')) {
      localStorage.setItem('tertulia.tokens', JSON.stringify(tokens));
      sessionStorage.setItem('begun', '1');
    }
  }, person?.tokens);
  const page = await context.newPage();
  page.on('pageerror', (error) => wrong.push(`error: ${error.stack}`));
  page.on('console', (message) => message.text().includes('Content Security Policy') && wrong.push(message.text()));
  const own = new URL(url).host;
  page.on('request', (request) => {
    const { protocol, host } = new URL(request.url());
    if (!['data:', 'blob:'].includes(protocol) && host !== own) wrong.push(`another host: ${request.url()}`);
  });
  page.isFine = () => assert.deepEqual(wrong, []);
  page.leave = async () => {
    page.isFine();
    await context.close();
  };
  await page.goto(url + path);
  return page;
}

/** What axe finds that keeps people out, in words. */
export async function seriousFindings(page) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  const serious = violations.filter(({ impact }) => ['serious', 'critical'].includes(impact));
  return serious.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target} ${node.failureSummary}`).join(' | ')}`);
}

/** The texts of the open chat's messages that are in the document. */
export function shownTexts(page) {
  return page.locator('.message .text').allTextContents();
}

/** Writes and sends in the open chat. */
export async function write(page, text) {
  await page.locator('.composer-text').fill(text);
  await page.keyboard.press('Enter');
}
