/* Classifies image files with an exported SavedModel through TensorFlow's C library, the way TF
 * Serving loads it: no Python and no code of keras_vit takes part.
 *
 *   classify VERSION_FOLDER INPUT LABELS SCORES IMAGE...
 *
 * INPUT, LABELS and SCORES are the tensors of the signature `classify_bytes`, such as "op:0". Prints
 * a line for each image: label TAB score, best first, all separated by tabs.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

static void stop(const char *what, const char *why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

static void check(const TF_Status *status, const char *what) {
  if (TF_GetCode(status) != TF_OK) stop(what, TF_Message(status));
}

static char *read_file(const char *path, size_t *size) {
  FILE *file = fopen(path, "rb");
  if (!file) stop(path, "cannot be opened");
  fseek(file, 0, SEEK_END);
  *size = (size_t)ftell(file);
  rewind(file);
  char *content = malloc(*size + 1);
  if (!content || fread(content, 1, *size, file) != *size) stop(path, "cannot be read");
  fclose(file);
  return content;
}

static TF_Output find(TF_Graph *graph, const char *name) {
  char operation[512];
  const char *colon = strrchr(name, ':');
  if (!colon || (size_t)(colon - name) >= sizeof operation) stop(name, "is no tensor");
  memcpy(operation, name, (size_t)(colon - name));
  operation[colon - name] = '\0';
  TF_Output output = {TF_GraphOperationByName(graph, operation), atoi(colon + 1)};
  if (!output.oper) stop(name, "is not in the graph");
  return output;
}

static void keep(void *data, size_t size, void *argument) {
  (void)data;
  (void)size;
  (void)argument;
}

int main(int count, char **arguments) {
  if (count < 5) stop("usage", "classify VERSION_FOLDER INPUT LABELS SCORES IMAGE...");
  int64_t batch = count - 5;
  TF_Status *status = TF_NewStatus();
  TF_Graph *graph = TF_NewGraph();
  TF_SessionOptions *options = TF_NewSessionOptions();
  const char *tags[] = {"serve"};
  TF_Session *session = TF_LoadSessionFromSavedModel(options, NULL, arguments[1], tags, 1, graph,
                                                     NULL, status);
  check(status, "loading");

  TF_TString *strings = calloc((size_t)batch + 1, sizeof *strings);
  for (int64_t i = 0; i < batch; ++i) {
    size_t size;
    char *content = read_file(arguments[5 + i], &size);
    TF_StringInit(&strings[i]);
    TF_StringCopy(&strings[i], content, size);
    free(content);
  }
  TF_Tensor *images = TF_NewTensor(TF_STRING, &batch, 1, strings,
                                   (size_t)batch * sizeof *strings, keep, NULL);
  TF_Output input = find(graph, arguments[2]);
  TF_Output outputs[] = {find(graph, arguments[3]), find(graph, arguments[4])};
  TF_Tensor *results[2] = {NULL, NULL};
  TF_SessionRun(session, NULL, &input, &images, 1, outputs, results, 2, NULL, 0, NULL, status);
  check(status, "running");

  int64_t columns = TF_Dim(results[0], 1);
  const TF_TString *labels = TF_TensorData(results[0]);
  const float *scores = TF_TensorData(results[1]);
  for (int64_t row = 0; row < TF_Dim(results[0], 0); ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      const TF_TString *label = &labels[row * columns + column];
      printf("%s%.*s\t%.9g", column ? "\t" : "", (int)TF_StringGetSize(label),
             TF_StringGetDataPointer(label), scores[row * columns + column]);
    }
    printf("\n");
  }
  TF_CloseSession(session, status);
  TF_DeleteSession(session, status);
  TF_DeleteGraph(graph);
  TF_DeleteSessionOptions(options);
  TF_DeleteTensor(images);
  TF_DeleteTensor(results[0]);
  TF_DeleteTensor(results[1]);
  for (int64_t i = 0; i < batch; ++i) TF_StringDealloc(&strings[i]);
  free(strings);
  TF_DeleteStatus(status);
  return 0;
}
