// @ts-self-types="./image_codecs.d.ts"
// Compiled decoders of images, imported as modules: that takes no permission, neither to read the cache of packages nor to
// run native code. JavaScript, since TypeScript does not know this form of import.
import source jpeg from "@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm";
import source png from "@jsquash/png/codec/pkg/squoosh_png_bg.wasm";
import source webp from "@jsquash/webp/codec/dec/webp_dec.wasm";

export { jpeg, png, webp };
