/*
 * A table of numbers, read line by line: what is kept of each column is a few sums, so that a series may be as long as it
 * likes. Plain C without the plugin contract.
 */
#ifndef SERIES_H
#define SERIES_H

#include <stddef.h>

enum { SERIES_COLUMNS = 16, SERIES_NAME = 48 };

typedef struct series_column {
  char name[SERIES_NAME]; /* UTF-8; "" without a header */
  size_t count;           /* of numbers */
  double least, most, mean, first, last;
  double leap;            /* largest change from one number to the next */
  size_t leap_row;        /* the row after it, counted from 1 */
} series_column;

typedef struct series {
  series_column columns[SERIES_COLUMNS];
  size_t width; /* columns that are used */
  size_t rows;  /* rows that have a number */
  char separator;
} series;

/* Takes a line without its end. The first one decides on the separator, and may be a header. */
void series_line(series *self, const char *line, size_t length);

/* Takes one sample of a column. */
void series_add(series *self, size_t column, double value);

/* Writes sentences about the series, cut at `capacity`. Returns their length. */
size_t series_describe(const series *self, char *text, size_t capacity);

#endif
