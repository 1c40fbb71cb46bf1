// `node:fs/promises` in a component: see `fs.js`.

import * as fs from "./fs.js";

export const readFile = async (...args) => fs.readFileSync(...args);
export const writeFile = async (...args) => fs.writeFileSync(...args);
export const appendFile = async (...args) => fs.appendFileSync(...args);
export const readdir = async (...args) => fs.readdirSync(...args);
export const stat = async (...args) => fs.statSync(...args);
export const lstat = async (...args) => fs.lstatSync(...args);
export const access = async (...args) => fs.accessSync(...args);
export const mkdir = async (...args) => fs.mkdirSync(...args);
export const unlink = async (...args) => fs.unlinkSync(...args);
export const rmdir = async (...args) => fs.rmdirSync(...args);
export const rm = async (...args) => fs.rmSync(...args);
export const rename = async (...args) => fs.renameSync(...args);
export const copyFile = async (...args) => fs.copyFileSync(...args);

export default {
  readFile, writeFile, appendFile, readdir, stat, lstat, access, mkdir, unlink, rmdir, rm, rename, copyFile,
}; // prettier-ignore
