#include "series.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longest text of a number. */
enum { NUMBER = 64 };

/* ---- Reading ---- */

static char separator_of(const char *line, size_t length) {
  static const char separators[] = {'\t', ';', ','};
  for (size_t at = 0; at < sizeof separators; at++)
    if (length > 0 && memchr(line, separators[at], length) != NULL) return separators[at];
  return ',';
}

/* Without the spaces and quotes around it. */
static void trim(const char **field, size_t *length) {
  while (*length > 0 && strchr(" \"\r", (*field)[*length - 1]) != NULL && (*field)[*length - 1] != '\0') (*length)--;
  while (*length > 0 && strchr(" \"", **field) != NULL && **field != '\0') {
    (*field)++;
    (*length)--;
  }
}

/* Whether a field is a finite number. Where the semicolon parts fields, a comma may be the decimal point. */
static int number_of(const char *field, size_t length, char separator, double *value) {
  char text[NUMBER], *end;
  trim(&field, &length);
  if (length == 0 || length >= sizeof text) return 0;
  memcpy(text, field, length);
  text[length] = '\0';
  char *comma = strchr(text, ',');
  if (separator == ';' && comma != NULL) *comma = '.';
  *value = strtod(text, &end);
  return *end == '\0' && isfinite(*value);
}

/* Length of the UTF-8 character at the start, 0 for bytes that are none. Overlong forms and surrogates are let out by their
 * second byte. */
static size_t character(const unsigned char *at, size_t length) {
  size_t more = *at < 0x80 ? 0 : *at < 0xc2 ? length : *at < 0xe0 ? 1 : *at < 0xf0 ? 2 : *at < 0xf5 ? 3 : length;
  if (more >= length) return 0;
  for (size_t next = 1; next <= more; next++)
    if ((at[next] & 0xc0) != 0x80) return 0;
  if ((*at == 0xe0 && at[1] < 0xa0) || (*at == 0xed && at[1] > 0x9f)) return 0;
  if ((*at == 0xf0 && at[1] < 0x90) || (*at == 0xf4 && at[1] > 0x8f)) return 0;
  return more + 1;
}

/* Copies whole, printable characters, as many as there is room for. */
static void name_column(series_column *column, const char *field, size_t length) {
  size_t used = 0;
  trim(&field, &length);
  while (length > 0) {
    size_t bytes = character((const unsigned char *)field, length);
    if (used + bytes >= sizeof column->name) break;
    if (bytes > 0 && (unsigned char)*field >= ' ' && *field != 0x7f) {
      memcpy(column->name + used, field, bytes);
      used += bytes;
    }
    size_t step = bytes == 0 ? 1 : bytes;
    field += step;
    length -= step;
  }
  column->name[used] = '\0';
}

void series_add(series *self, size_t at, double value) {
  if (at >= SERIES_COLUMNS) return;
  series_column *column = &self->columns[at];
  if (column->count == 0) column->first = column->least = column->most = value;
  double change = column->count == 0 ? 0.0 : value - column->last;
  if (fabs(change) > fabs(column->leap)) {
    column->leap = change;
    column->leap_row = self->rows + 1;
  }
  column->count++;
  column->least = fmin(column->least, value);
  column->most = fmax(column->most, value);
  /* Not a sum, which would overflow before its quotient does. */
  column->mean += value / (double)column->count - column->mean / (double)column->count;
  column->last = value;
  if (self->width <= at) self->width = at + 1;
}

void series_line(series *self, const char *line, size_t length) {
  int is_first = self->separator == '\0', found = 0;
  double value;
  if (is_first) self->separator = separator_of(line, length);
  for (size_t column = 0; column < SERIES_COLUMNS; column++) {
    const char *end = length > 0 ? (const char *)memchr(line, self->separator, length) : NULL;
    size_t field = end == NULL ? length : (size_t)(end - line);
    if (number_of(line, field, self->separator, &value)) {
      series_add(self, column, value);
      found = 1;
    } else if (is_first) {
      name_column(&self->columns[column], line, field);
    }
    if (end == NULL) break;
    line = end + 1;
    length -= field + 1;
  }
  self->rows += (size_t)found;
}

/* ---- Saying ---- */

static size_t describe_column(const series_column *column, size_t at, char *text, size_t capacity) {
  char unnamed[32];
  snprintf(unnamed, sizeof unnamed, "Column %zu", at + 1);
  const char *name = column->name[0] == '\0' ? unnamed : column->name;
  if (column->least == column->most)
    return (size_t)snprintf(text, capacity, " %s: always %.6g.", name, column->most);
  static const char format[] =
      " %s: from %.6g to %.6g, mean %.6g, first %.6g, last %.6g; largest step %+.6g, at row %zu.";
  return (size_t)snprintf(text, capacity, format, name, column->least, column->most, column->mean, column->first,
                          column->last, column->leap, column->leap_row);
}

size_t series_describe(const series *self, char *text, size_t capacity) {
  size_t used = (size_t)snprintf(text, capacity, "A series of %zu rows.", self->rows);
  for (size_t at = 0; at < self->width && used < capacity; at++)
    if (self->columns[at].count > 0) used += describe_column(&self->columns[at], at, text + used, capacity - used);
  return used < capacity ? used : capacity - 1;
}
