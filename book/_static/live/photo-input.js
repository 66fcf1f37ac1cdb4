/* Where a photo comes from: a file, the camera, or the portraits that the model brings along. `found` gets it framed, as an image [1, 3, n, n]. */
"use strict";

async function ganinvPhotoInput(engine, model, say, found) {
  const { make } = ganinvLive;
  const n = model.resolution, LONGEST = 2400; // pixels; more would only take longer
  let detector = null;

  async function take(picture) {
    say("Looking for the face …");
    detector ??= await ganinvFaces.Detector.of(engine, await ganinvLive.model("face_detector"));
    const photo = ganinvFaces.fromPicture(picture, LONGEST);
    const faces = await detector.find(photo);
    if (!faces.length) return say("No face was found in it: try another photo, in which one face looks at you.");
    const frame = await detector.level(photo, faces[0]);
    if (faces.length > 1) say(`${faces.length} faces were found; the largest is used.`);
    await found(ganinvFaces.image(ganinvFaces.crop(photo, frame, n)), frame);
  }
  const report = (problem) => say(`That did not work: ${problem.message}`);

  const file = make("input", { type: "file", accept: "image/*", "aria-label": "Photo of a face", onchange: async () => {
    if (!file.files.length) return;
    await createImageBitmap(file.files[0]).then(take).catch(report);
  } });
  const row = make("div", { class: "live-buttons" }, file);

  if (navigator.mediaDevices?.getUserMedia) {
    const video = make("video", { playsinline: true, muted: true, "aria-label": "What the camera sees", class: "live-video", hidden: true });
    video.muted = true;
    let stream = null;
    const camera = ganinvControls.button("Use the camera", async () => {
      try {
        if (!stream) {
          stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "user" } });
          video.srcObject = stream;
          video.hidden = false;
          await video.play();
          camera.textContent = "Take the picture";
          return;
        }
        const picture = await createImageBitmap(video);
        stream.getTracks().forEach((track) => track.stop());
        stream = null;
        video.hidden = true;
        camera.textContent = "Use the camera";
        await take(picture);
      } catch (problem) {
        report(problem);
      }
    });
    row.append(camera, video);
  }

  for (const name of Object.keys(model.portraits)) {
    row.append(ganinvControls.button(ganinvPortraitName(name), async () => {
      try {
        await found(ganinvPortrait(model, name));
      } catch (problem) {
        report(problem);
      }
    }));
  }
  return row;
}

/** What a portrait is called. */
const ganinvPortraitName = (key) => key.replaceAll("_", " ").replace(/\b\w/g, (letter) => letter.toUpperCase());

/** A portrait that the model brings along, framed already, as an image [1, 3, n, n]. */
function ganinvPortrait(model, key) {
  const bytes = Uint8Array.from(atob(model.portraits[key]), (letter) => letter.charCodeAt(0)), n = model.resolution;
  return ganinvTensor(Float32Array.from(bytes, (value) => value / 127.5 - 1), [1, 3, n, n]);
}
window.ganinvPhotoInput = ganinvPhotoInput;
window.ganinvPortrait = ganinvPortrait;
window.ganinvPortraitName = ganinvPortraitName;
